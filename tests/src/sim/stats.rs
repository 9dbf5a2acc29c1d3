//! What a run did, so that a summary can say that it bites.

use std::ops::AddAssign;

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident),* $(,)?; $($(#[$most_doc:meta])* $most:ident),* $(,)?) => {
        /// Counters of one run, or of many added up, and what was the most in any of them.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            $($(#[$most_doc])* pub $most: u64,)*
        }

        impl AddAssign for Stats {
            fn add_assign(&mut self, other: Stats) {
                $(self.$name += other.$name;)*
                $(self.$most = self.$most.max(other.$most);)*
            }
        }

        impl Stats {
            /// How much true time passed.
            #[must_use]
            pub fn virtual_hours(&self) -> f64 {
                self.virtual_us as f64 / 3.6e9
            }

            /// Each counter with its name.
            #[must_use]
            pub fn table(&self) -> Vec<(&'static str, u64)> {
                vec![
                    $((stringify!($name), self.$name),)*
                    $((stringify!($most), self.$most),)*
                ]
            }
        }
    };
}

stats! {
    /// Events.
    events,
    /// Microseconds of true time.
    virtual_us,
    /// Servers killed.
    crashes,
    /// Servers stopped for a while.
    pauses,
    /// Servers whose memory was set back.
    memories_set_back,
    /// Cuts of a server from others, one way or both.
    partitions,
    /// Clocks that began to run at another rate.
    clock_changes,
    /// Clocks that were stopped with their machine.
    clock_stops,
    /// Single pairs of servers cut, one way or both.
    pairs_cut,
    /// Servers that others never reach.
    wrong_addresses,
    /// Storms: more than f unwell together.
    storms,
    /// Servers that were slow in everything for a while.
    greys,
    /// Values of more than 20,000 bytes on slow links.
    long_values,
    /// Compare-and-swaps whose coordinator never heard what became of them.
    answers_lost,
    /// Compare-and-swaps that were tried long after their coordinator had given them up.
    late_swaps,
    /// Times that the store was set back to an older content.
    set_back,
    /// Requests that clients gave up, not knowing what became of them.
    given_up,
    /// Clients that died.
    client_crashes,
    /// Losses that operators wanted to accept while there was none.
    acceptances_refused,
    /// Codes that were given up and came back.
    codes_returned,
    /// Losses that operators accepted.
    losses_accepted,
    /// Coordinators that started with other times than the cluster's.
    other_timings,
    /// Coordinators killed and started again.
    coordinator_crashes,
    /// Coordinators stopped for a while.
    coordinator_pauses,
    /// Coordinators cut off.
    coordinator_partitions,
    /// Messages lost.
    dropped,
    /// Messages that went nowhere because of a cut.
    cut_off,
    /// Configurations stored.
    epochs,
    /// Compare-and-swaps that lost.
    conflicts,
    /// Primaries recovered.
    recoveries,
    /// Primaries that came back before they were replaced.
    returns,
    /// Learners that began to count.
    caught_up,
    /// Learners promoted.
    promotions,
    /// Members that an operator began to move.
    moves,
    /// Moves that an operator cancelled.
    cancelled,
    /// Primaries that were moved.
    primaries_moved,
    /// Those that served where they were moved to.
    taken_over,
    /// Servers that an operator wanted empty.
    servers_drained,
    /// Writes answered.
    writes,
    /// Reads answered.
    reads,
    /// Sessions that were opened; again, too.
    sessions_opened,
    /// Sessions that their client closed.
    sessions_closed,
    /// Requests that were given up, since their session was not open any more.
    sessions_unknown,
    /// Reads refused for want of a lease.
    unleased,
    /// Runs that lost more than f at once by bad luck.
    beyond_f,
    /// Looks at a primary while at most f members were away and a spare was there (invariant 11).
    looks;
    /// How long a primary was not written or read at such a look, at most, in thousandths of T_s.
    longest_stall,
}
