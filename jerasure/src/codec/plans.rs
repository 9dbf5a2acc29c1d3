//! The decoding plans that a codec keeps, so that a pattern of losses is solved once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Plans kept for one codec at most. 10 + 4 shards have 1,470 patterns of losses; most systems meet a few.
const MAX_PLANS: usize = 1024;

/// Bytes of all plans kept at most, unless one alone is larger.
const MAX_BYTES: usize = 4 << 20;

/// Which shards a plan is for: those erased, sorted, and then those wanted, sorted.
pub(super) type Pattern = [u32];

/// Plans by pattern; those not used for longest make way for new ones.
pub(super) struct Plans<P> {
    kept: Mutex<Kept<P>>,
}

struct Kept<P> {
    by_pattern: HashMap<Box<Pattern>, Entry<P>>,
    bytes: usize,
    /// Counts uses, to tell which is oldest.
    uses: u64,
}

struct Entry<P> {
    plan: Arc<P>,
    bytes: usize,
    last_use: u64,
}

impl<P> Plans<P> {
    pub(super) fn new() -> Self {
        Self {
            kept: Mutex::new(Kept {
                by_pattern: HashMap::new(),
                bytes: 0,
                uses: 0,
            }),
        }
    }

    /// The plan for `pattern`, from `make` if it is not there; `bytes` tells what it holds in memory.
    ///
    /// Nobody waits while one is made. Two threads may make the same one; the later replaces the earlier.
    pub(super) fn get<E>(
        &self,
        pattern: &Pattern,
        bytes: impl FnOnce(&P) -> usize,
        make: impl FnOnce() -> Result<P, E>,
    ) -> Result<Arc<P>, E> {
        if let Some(plan) = self.lock().find(pattern) {
            return Ok(plan);
        }
        let plan = Arc::new(make()?);
        let bytes = bytes(&plan) + size_of_val(pattern);
        self.lock().keep(pattern.into(), Arc::clone(&plan), bytes);
        Ok(plan)
    }

    fn lock(&self) -> MutexGuard<'_, Kept<P>> {
        // A panic cannot happen between two changes that belong together.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> Kept<P> {
    fn find(&mut self, pattern: &Pattern) -> Option<Arc<P>> {
        let entry = self.by_pattern.get_mut(pattern)?;
        self.uses += 1;
        entry.last_use = self.uses;
        Some(Arc::clone(&entry.plan))
    }

    fn keep(&mut self, pattern: Box<Pattern>, plan: Arc<P>, bytes: usize) {
        self.remove(&pattern);
        while !self.by_pattern.is_empty()
            && (self.by_pattern.len() >= MAX_PLANS || self.bytes + bytes > MAX_BYTES)
        {
            let oldest = self.by_pattern.iter().min_by_key(|(_, e)| e.last_use);
            let oldest = oldest.map(|(pattern, _)| pattern.clone());
            self.remove(&oldest.expect("the map is not empty"));
        }
        self.uses += 1;
        self.bytes += bytes;
        self.by_pattern.insert(
            pattern,
            Entry {
                plan,
                bytes,
                last_use: self.uses,
            },
        );
    }

    fn remove(&mut self, pattern: &Pattern) {
        if let Some(entry) = self.by_pattern.remove(pattern) {
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn get(plans: &Plans<usize>, pattern: u32, bytes: usize, made: &mut u32) {
        let plan: Result<_, Infallible> = plans.get(
            &[pattern],
            |&bytes| bytes,
            || {
                *made += 1;
                Ok(bytes)
            },
        );
        assert_eq!(*plan.unwrap(), bytes);
    }

    #[test]
    fn a_pattern_is_solved_once() {
        let (plans, mut made) = (Plans::new(), 0);
        for _ in 0..3 {
            get(&plans, 7, 100, &mut made);
            get(&plans, 8, 100, &mut made);
        }
        assert_eq!(made, 2);
    }

    #[test]
    fn the_plan_unused_for_longest_makes_way() {
        let (plans, mut made) = (Plans::new(), 0);
        for pattern in 0..MAX_PLANS as u32 {
            get(&plans, pattern, 1, &mut made);
        }
        get(&plans, 0, 1, &mut made);
        assert_eq!(made as usize, MAX_PLANS);
        get(&plans, 70_000, 1, &mut made);
        assert_eq!(plans.lock().by_pattern.len(), MAX_PLANS);

        made = 0;
        get(&plans, 0, 1, &mut made);
        assert_eq!(made, 0, "the one just used was kept");
        get(&plans, 1, 1, &mut made);
        assert_eq!(made, 1, "the oldest was not");
    }

    #[test]
    fn plans_are_bounded_in_bytes() {
        let (plans, mut made) = (Plans::new(), 0);
        for pattern in 0..100 {
            get(&plans, pattern, MAX_BYTES / 10, &mut made);
            assert!(plans.lock().bytes <= MAX_BYTES);
        }
        get(&plans, 200, MAX_BYTES * 2, &mut made);
        assert_eq!(
            plans.lock().by_pattern.len(),
            1,
            "one larger than the bound is kept alone"
        );
        get(&plans, 201, 1, &mut made);
        assert!(plans.lock().bytes <= MAX_BYTES);
    }

    #[test]
    fn a_plan_that_cannot_be_made_is_not_kept() {
        let plans: Plans<usize> = Plans::new();
        assert_eq!(plans.get(&[1], |_| 0, || Err("no")), Err("no"));
        assert_eq!(
            plans.get(&[1], |_| 0, || Ok::<_, &str>(5)).as_deref(),
            Ok(&5)
        );
    }
}
