//! Ranks that are threads of a test.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use super::Ranks;
use super::error::RankError;
use super::transport::Transport;

/// A connection to ranks in other threads.
#[derive(Debug)]
struct InThreads {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Mutex<Receiver<Vec<u8>>>>,
}

impl Transport for InThreads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn send(&self, to: usize, bytes: &[u8]) -> Result<(), RankError> {
        let lost = |_| RankError::Lost { text: format!("rank {to} is gone") };
        self.to[to].send(bytes.to_vec()).map_err(lost)
    }

    fn receive(&self, from: usize, bytes: &mut [u8]) -> Result<(), RankError> {
        let lost = |_| RankError::Lost { text: format!("rank {from} is gone") };
        let message = self.from[from].lock().unwrap_or_else(PoisonError::into_inner).recv().map_err(lost)?;
        assert_eq!(message.len(), bytes.len(), "a message from {from} to {} of another length", self.rank);
        bytes.copy_from_slice(&message);
        Ok(())
    }

    fn exchange(&self, peer: usize, sent: &[u8], received: &mut [u8]) -> Result<(), RankError> {
        self.send(peer, sent)?;
        self.receive(peer, received)
    }
}

/// Runs `work` on every one of `size` ranks, and returns their results in order.
pub(crate) fn on_ranks<T: Send>(size: usize, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
    let mut to: Vec<Vec<_>> = (0..size).map(|_| Vec::new()).collect();
    let mut from: Vec<Vec<_>> = (0..size).map(|_| Vec::new()).collect();
    for sender in &mut to {
        for receivers in &mut from {
            let (send, receive) = channel();
            sender.push(send);
            receivers.push(Mutex::new(receive));
        }
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = to
            .into_iter()
            .zip(from)
            .enumerate()
            .map(|(rank, (to, from))| {
                let work = &work;
                scope.spawn(move || work(Ranks::over(InThreads { rank, to, from }, "here").unwrap()))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic on a rank")).collect()
    })
}
