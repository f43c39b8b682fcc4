//! How much memory all bodies together may take, from their first byte until whoever reads them lets go.
//!
//! Small bodies take their bytes freely. A larger one takes permits as it grows, and waits where none are left: its
//! sender is made to wait with it. So that bodies that are all half there cannot wait for each other for ever, one at a
//! time may grow out of a reserve instead, and finish.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all larger bodies together may hold, packed and unpacked: six of the default size at once.
pub(super) const MAX_BODIES_BYTES: usize = 32 * 1024 * 1024;
/// Up to here a body is free: as many feeds as are fetched at once take a few megabytes together. Also the step by which
/// larger ones grow.
const STEP_BYTES: usize = 64 * 1024;

/// The memory for bodies. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    steps: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

impl Budget {
    /// A budget of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self { steps: Arc::new(Semaphore::new(bytes / STEP_BYTES)), reserve: Arc::new(Semaphore::new(1)) }
    }

    /// A share for one body, nothing taken yet.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), covered: STEP_BYTES, steps: None, reserve: None }
    }
}

/// What one body holds of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    /// How many bytes the body may have by now.
    covered: usize,
    steps: Option<OwnedSemaphorePermit>,
    /// Held by the one body that no longer needs steps.
    reserve: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Resolves when the body may grow to `bytes`.
    pub(super) async fn grow_to(&mut self, bytes: usize) {
        if bytes <= self.covered || self.reserve.is_some() {
            return;
        }
        let missing = (bytes - self.covered).div_ceil(STEP_BYTES);
        let steps = self.budget.steps.clone().acquire_many_owned(u32::try_from(missing).unwrap_or(u32::MAX));
        // Neither semaphore is ever closed, so that one of them always answers with a permit.
        tokio::select! {
            biased;
            Ok(steps) = steps => {
                self.covered += missing * STEP_BYTES;
                match &mut self.steps {
                    Some(held) => held.merge(steps),
                    None => self.steps = Some(steps),
                }
            }
            Ok(reserve) = self.budget.reserve.clone().acquire_owned() => self.reserve = Some(reserve),
            else => {}
        }
    }

    /// How far a body of `bytes` may grow without asking.
    pub(super) fn room(&self, bytes: usize) -> usize {
        if self.reserve.is_some() { STEP_BYTES } else { self.covered.saturating_sub(bytes) }
    }

    /// Gives back what a body of `bytes` does not need.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let needed = bytes.saturating_sub(STEP_BYTES).div_ceil(STEP_BYTES);
        let held = self.steps.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if held > needed {
            drop(self.steps.as_mut().and_then(|steps| steps.split(held - needed)));
            self.covered = STEP_BYTES * (1 + needed);
        }
        if held >= needed {
            self.reserve = None;
        }
    }

    /// The body, which holds its share until its last copy is dropped.
    pub(super) fn holding(self, body: Vec<u8>) -> Bytes {
        if self.covered == STEP_BYTES && self.reserve.is_none() {
            return body.into();
        }
        Bytes::from_owner(Held { body, _share: self })
    }
}

struct Held {
    body: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the share may grow to so many bytes at once.
    async fn grows(share: &mut Share, bytes: usize) -> bool {
        tokio::select! {
            biased;
            () = share.grow_to(bytes) => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test]
    async fn small_bodies_never_wait() {
        let budget = Budget::new(0);
        let mut all = [(); 100].map(|()| budget.share());
        for share in &mut all {
            assert!(grows(share, STEP_BYTES).await);
        }
        let [first, ..] = all;
        assert_eq!(first.holding(vec![1; STEP_BYTES]).len(), STEP_BYTES);
    }

    #[tokio::test]
    async fn one_body_at_a_time_finishes_out_of_the_reserve() {
        let budget = Budget::new(4 * STEP_BYTES);
        let mut all = [(); 4].map(|()| budget.share());
        for share in &mut all {
            assert!(grows(share, 2 * STEP_BYTES).await, "each has a step");
        }
        let [mut one, mut two, three, four] = all;
        assert!(grows(&mut one, 100 * STEP_BYTES).await, "the reserve");
        assert!(!grows(&mut two, 3 * STEP_BYTES).await, "nothing is left");
        let body = one.holding(vec![0; 100 * STEP_BYTES]);
        let copy = body.clone();
        drop(body);
        assert!(!grows(&mut two, 3 * STEP_BYTES).await, "a copy of the first is still there");
        drop(copy);
        assert!(grows(&mut two, 3 * STEP_BYTES).await, "what the first held");
        drop((two, three, four));
        assert_eq!((budget.steps.available_permits(), budget.reserve.available_permits()), (4, 1));
    }

    #[tokio::test]
    async fn what_is_not_needed_goes_back_at_once() {
        let budget = Budget::new(8 * STEP_BYTES);
        let mut share = budget.share();
        share.grow_to(8 * STEP_BYTES).await;
        share.shrink_to(STEP_BYTES + 1);
        assert_eq!((share.room(STEP_BYTES + 1), budget.steps.available_permits()), (STEP_BYTES - 1, 7));
        share.shrink_to(0);
        assert_eq!(budget.steps.available_permits(), 8);
        // Out of the reserve, and then small enough for the steps that it had.
        let mut other = budget.share();
        other.grow_to(9 * STEP_BYTES).await;
        share.grow_to(20 * STEP_BYTES).await;
        assert_eq!(budget.reserve.available_permits(), 0);
        share.shrink_to(STEP_BYTES);
        assert_eq!(budget.reserve.available_permits(), 1);
    }
}
