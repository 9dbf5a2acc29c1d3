//! Moods: what a run may meet beside the crashes, pauses and cuts of every run, and which of the checks that look
//! for more than safety are made. A seed draws its moods; `sim --mood NAME` gives a mood to every run.

use super::rng::Rng;
use std::ops::BitOr;

macro_rules! moods {
    ($($(#[doc = $doc:literal])* $name:ident $text:literal $landed:literal,)*) => {
        /// One kind of trouble, or of check.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mood {
            $($(#[doc = $doc])* $name,)*
        }

        impl Mood {
            /// All of them.
            pub const ALL: &[Mood] = &[$(Mood::$name,)*];

            /// Its name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Mood::$name => $text,)*
                }
            }

            /// Whether seeds draw it when nothing is said.
            #[must_use]
            pub fn is_usual(self) -> bool {
                match self {
                    $(Mood::$name => $landed,)*
                }
            }
        }
    };
}

moods! {
    /// A check: "more than f" is said, and remains, only where the truth proves it (invariant 10).
    Proof "proof" true,
    /// A check: each primary is written and read in every window of k T_s (invariant 11).
    Available "available" true,
    /// Single pairs of servers are cut, one way or both, spares included.
    Pairs "pairs" true,
    /// Some spares and the others never reach each other.
    WrongAddress "wrong-address" true,
    /// Some spares reach others that never reach them.
    HalfReached "half-reached" false,
    /// More than f are unwell together, and come back.
    Storms "storms" true,
    /// Coordinators have other times than the cluster, and others again after a restart.
    Coordinators "coordinators" true,
    /// Some servers do everything late.
    Grey "grey" true,
    /// Little goes through between servers at a time, and some values are long.
    SlowLinks "slow-links" true,
    /// The store loses answers, and executes late what was given up.
    Stores "stores" true,
    /// Clients give up what is not answered in time, and die: others come in their places.
    Clients "clients" true,
    /// Operators accept losses at any moment.
    Operators "operators" true,
    /// The store is set back to an older content for a while.
    SetBack "set-back" true,
}

/// A set of moods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moods(u32);

impl Moods {
    /// The set of all.
    #[must_use]
    pub fn all() -> Moods {
        Mood::ALL.iter().fold(Moods::default(), |set, &m| set | m)
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn has(self, mood: Mood) -> bool {
        self.0 >> mood as u32 & 1 == 1
    }

    /// Those that a seed draws when nothing is said: checks always, of the others each in one run of four.
    #[must_use]
    pub fn usual(seed: u64) -> Moods {
        Self::drawn(seed, Mood::is_usual)
    }

    /// As [`usual`](Self::usual), from all.
    #[must_use]
    pub fn any(seed: u64) -> Moods {
        Self::drawn(seed, |_| true)
    }

    fn drawn(seed: u64, from: impl Fn(Mood) -> bool) -> Moods {
        // Chance of its own: what a run does without a mood does not depend on which there are.
        let mut rng = Rng::new(seed ^ 0x6d6f_6f64_7300);
        let mut drawn = Moods::default();
        for &mood in Mood::ALL {
            let is_check = matches!(mood, Mood::Proof | Mood::Available);
            let yes = rng.permille(250) || is_check;
            if yes && from(mood) {
                drawn = drawn | mood;
            }
        }
        drawn
    }
}

impl BitOr<Mood> for Moods {
    type Output = Moods;

    fn bitor(self, mood: Mood) -> Moods {
        Moods(self.0 | 1 << mood as u32)
    }
}

/// How runs come by their moods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Each seed draws from the usual ones.
    #[default]
    Usual,
    /// Each seed draws from all.
    Any,
    /// Every run has these and no others.
    These(Moods),
}

impl Choice {
    /// The moods of a seed.
    #[must_use]
    pub fn of(self, seed: u64) -> Moods {
        match self {
            Choice::Usual => Moods::usual(seed),
            Choice::Any => Moods::any(seed),
            Choice::These(moods) => moods,
        }
    }
}
