//! Images that several requests have for one model go through its network together: the first goes at once, and those that come
//! while it is in work are the next batch, as in the group commit of a database. Nothing waits for a timer.
//!
//! One task at a time has the batches of a queue evaluated, until nothing waits; it belongs to no request, so that one that goes
//! away stops no other. Where the evaluation of a batch panics, each of its images is evaluated alone.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Most items of a batch: more would be hardly faster, and the first of them would be answered later.
const MAX_BATCH: usize = 16;

/// Items that wait to be evaluated together.
#[derive(Debug)]
pub(super) struct Queue<T, R>(Mutex<Waiting<T, R>>);

#[derive(Debug)]
struct Waiting<T, R> {
    items: VecDeque<(T, oneshot::Sender<R>)>,
    /// Whether a task takes batches out.
    is_served: bool,
}

/// Items that were taken out of a queue.
#[derive(Debug)]
pub(super) struct Batch<T, R>(Vec<(T, oneshot::Sender<R>)>);

/// An item in a queue.
#[derive(Debug)]
pub(super) struct Added<R> {
    /// Gets the result, or an error if the evaluation panicked.
    pub(super) result: oneshot::Receiver<R>,
    /// Whether the caller has to start a task that calls [`Queue::next`] until nothing waits.
    pub(super) needs_task: bool,
}

impl<T, R> Default for Queue<T, R> {
    fn default() -> Self {
        Self(Mutex::new(Waiting { items: VecDeque::new(), is_served: false }))
    }
}

impl<T, R> Queue<T, R> {
    /// Adds an item.
    pub(super) fn add(&self, item: T) -> Added<R> {
        let (sender, result) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.items.push_back((item, sender));
        let needs_task = !std::mem::replace(&mut waiting.is_served, true);
        Added { result, needs_task }
    }

    /// The items that have waited longest. Those whose receiver was dropped are left out. If no item is left, this is `None`, and the
    /// task ends.
    pub(super) fn next(&self) -> Option<Batch<T, R>> {
        let mut waiting = self.lock();
        waiting.items.retain(|(_, sender)| !sender.is_closed());
        let n = waiting.items.len().min(MAX_BATCH);
        waiting.is_served = n > 0;
        (n > 0).then(|| Batch(waiting.items.drain(..n).collect()))
    }

    /// The number of items that wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T, R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, R> Batch<T, R> {
    /// Sends each item its result. `evaluate` gets all items, or, where it panics, each of them alone, and returns a result for each
    /// in their order.
    pub(super) fn answer(self, evaluate: impl Fn(&[T]) -> Vec<R>) {
        let (items, senders): (Vec<T>, Vec<_>) = self.0.into_iter().unzip();
        let results = results(&items, &evaluate);
        // Before the first answer, for an item may hold a place that whoever gets it asks for again.
        drop(items);
        for (sender, result) in senders.into_iter().zip(results) {
            // Whoever went away meanwhile gets nothing; a sender that is dropped is an error to who waits.
            drop(result.map(|result| sender.send(result)));
        }
    }
}

/// The result for each item; `None` where `evaluate` panics for it alone.
fn results<T, R>(items: &[T], evaluate: &impl Fn(&[T]) -> Vec<R>) -> Vec<Option<R>> {
    match catch_unwind(AssertUnwindSafe(|| evaluate(items))) {
        Ok(results) => results.into_iter().map(Some).collect(),
        Err(_) if items.len() > 1 => items.chunks(1).flat_map(|one| results(one, evaluate)).collect(),
        Err(_) => vec![None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results of the queue, and the sizes of the batches.
    fn serve(queue: &Queue<u32, u32>) -> Vec<usize> {
        let evaluate = |items: &[u32]| {
            assert!(!items.contains(&13), "a bad item");
            items.iter().map(|item| item * 10).collect()
        };
        let mut sizes = Vec::new();
        while let Some(batch) = queue.next() {
            sizes.push(batch.0.len());
            batch.answer(evaluate);
        }
        sizes
    }

    #[test]
    fn each_item_has_its_result_and_one_task_is_needed_at_a_time() {
        let queue = Queue::default();
        let mut added: Vec<Added<u32>> = (0..40).map(|item| queue.add(100 + item)).collect();
        let needed: Vec<bool> = added.iter().map(|added| added.needs_task).collect();
        assert!(needed[0] && needed[1..].iter().all(|needed| !needed), "{needed:?}");
        assert_eq!(serve(&queue), [16, 16, 8]);
        for (item, added) in (0..).zip(&mut added) {
            assert_eq!(added.result.try_recv(), Ok(1000 + 10 * item));
        }
        assert!(queue.add(1).needs_task, "the task has ended");
    }

    #[test]
    fn an_item_that_panics_harms_no_other() {
        let queue = Queue::default();
        let mut added: Vec<Added<u32>> = [1, 13, 3].map(|item| queue.add(item)).into();
        assert_eq!(serve(&queue), [3]);
        let results: Vec<_> = added.iter_mut().map(|added| added.result.try_recv().ok()).collect();
        assert_eq!(results, [Some(10), None, Some(30)]);
        let mut later = queue.add(4);
        assert!(later.needs_task && serve(&queue) == [1]);
        assert_eq!(later.result.try_recv(), Ok(40));
    }

    #[test]
    fn an_item_that_nobody_waits_for_is_left_out() {
        let queue = Queue::default();
        let gone = queue.add(13);
        let mut added = queue.add(2);
        drop(gone.result);
        assert_eq!(serve(&queue), [1]);
        assert_eq!(added.result.try_recv(), Ok(20));
        drop(queue.add(13).result);
        assert_eq!(serve(&queue), [0; 0]);
        assert!(queue.add(5).needs_task, "the task has ended");
    }
}
