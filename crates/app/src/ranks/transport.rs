//! Moves bytes between ranks.

use std::fmt::Debug;

use super::error::RankError;

/// A connection to the other ranks. Every message is expected by its receiver, with its length.
pub(crate) trait Transport: Debug + Send + Sync {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Sends bytes to the rank `to`.
    ///
    /// # Errors
    /// If it cannot be reached.
    fn send(&self, to: usize, bytes: &[u8]) -> Result<(), RankError>;

    /// Receives as many bytes as `bytes` has from the rank `from`.
    ///
    /// # Errors
    /// If it cannot be reached.
    fn receive(&self, from: usize, bytes: &mut [u8]) -> Result<(), RankError>;

    /// Sends bytes to the rank `peer`, and receives others from it at the same time. With a send and a receive one after the
    /// other, two ranks would wait for each other.
    ///
    /// # Errors
    /// If it cannot be reached.
    fn exchange(&self, peer: usize, sent: &[u8], received: &mut [u8]) -> Result<(), RankError>;

    /// Sends the bytes of the rank `root` to all others, along a binomial tree.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<(), RankError> {
        let (size, own) = (self.size(), (self.rank() + self.size() - root) % self.size());
        // In round k, ranks below 2^k have the bytes, and each sends them to the rank 2^k further.
        let mut reach = 1;
        while reach < size {
            if own < reach && own + reach < size {
                self.send((own + reach + root) % size, bytes)?;
            } else if (reach..2 * reach).contains(&own) {
                self.receive((own - reach + root) % size, bytes)?;
            }
            reach *= 2;
        }
        Ok(())
    }

    /// Waits until every rank is here.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    #[cfg(any(test, feature = "mpi"))]
    fn barrier(&self) -> Result<(), RankError> {
        let mut byte = [0];
        if self.rank() == 0 {
            for rank in 1..self.size() {
                self.receive(rank, &mut byte)?;
            }
        } else {
            self.send(0, &byte)?;
        }
        self.broadcast(0, &mut byte)
    }
}

/// A process that works alone: there is nobody to send to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OneProcess;

impl Transport for OneProcess {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn send(&self, to: usize, _bytes: &[u8]) -> Result<(), RankError> {
        unreachable!("there is no rank {to}")
    }

    fn receive(&self, from: usize, _bytes: &mut [u8]) -> Result<(), RankError> {
        unreachable!("there is no rank {from}")
    }

    fn exchange(&self, peer: usize, _sent: &[u8], _received: &mut [u8]) -> Result<(), RankError> {
        unreachable!("there is no rank {peer}")
    }
}
