//! Sums over all ranks, the same to the bit on each, and with any power of two of ranks.
//!
//! Rank r has the sum over the r-th of equal subtrees of a binary tree. The levels above are those of recursive halving and
//! doubling (Thakur, Rabenseifner and Gropp 2005): in round k, a rank exchanges with the rank whose number differs in bit k.
//! The operands of each addition are those of the tree, and their order does not matter: a + b and b + a are the same bits.
//!
//! ```text
//! halving    each of two ranks sends the half that the other keeps, and adds what it receives to its own half
//! doubling   backwards: each sends its finished part, until all ranks have all parts
//! ```

use super::Ranks;
use super::error::RankError;

/// Numbers in a message, at most: 1 MiB. A segment is added up while it is in the cache.
const SEGMENT: usize = 1 << 18;
/// Fewer numbers than this are exchanged as a whole: the number of messages counts then, and not their length.
const SHORT: usize = 1 << 12;

impl Ranks {
    /// Replaces `values` by their sum over all ranks.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    ///
    /// # Panics
    /// If the number of ranks is not a power of two.
    pub(crate) fn sum(&self, values: &mut [f32]) -> Result<(), RankError> {
        assert!(self.size().is_power_of_two(), "a tree over {} ranks", self.size());
        if self.size() == 1 {
            return Ok(());
        }
        let mut received = vec![0.0; values.len().min(SEGMENT)];
        values.chunks_mut(SEGMENT).try_for_each(|segment| {
            let received = &mut received[..segment.len()];
            self.sum_segment(segment, received)
        })
    }

    fn sum_segment(&self, values: &mut [f32], received: &mut [f32]) -> Result<(), RankError> {
        let rank = self.rank();
        let peers = (0..self.size().ilog2()).map(|bit| (rank ^ 1 << bit, rank >> bit & 1 == 1));
        if values.len() < SHORT {
            for (peer, _) in peers {
                self.exchange(peer, values, received)?;
                add(values, received);
            }
            return Ok(());
        }
        let mut finished = 0..values.len();
        let mut given = Vec::new();
        for (peer, keeps_upper) in peers {
            let middle = finished.start + finished.len() / 2;
            let (lower, upper) = (finished.start..middle, middle..finished.end);
            let (keep, give) = if keeps_upper { (upper, lower) } else { (lower, upper) };
            let received = &mut received[..keep.len()];
            self.exchange(peer, &values[give.clone()], received)?;
            add(&mut values[keep.clone()], received);
            given.push((peer, give));
            finished = keep;
        }
        for (peer, give) in given.into_iter().rev() {
            // The two ranges are side by side.
            let middle = finished.start.max(give.start);
            let whole = finished.start.min(give.start)..finished.end.max(give.end);
            let (lower, upper) = values[whole.clone()].split_at_mut(middle - whole.start);
            let (own, others) = if finished.start < give.start { (lower, upper) } else { (upper, lower) };
            self.exchange(peer, own, others)?;
            finished = whole;
        }
        Ok(())
    }

    fn exchange(&self, peer: usize, sent: &[f32], received: &mut [f32]) -> Result<(), RankError> {
        self.transport.exchange(peer, bytemuck::cast_slice(sent), bytemuck::cast_slice_mut(received))
    }

    /// Whether `own` is true on every rank.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    pub(crate) fn all(&self, own: bool) -> Result<bool, RankError> {
        self.sum_of_counts(u64::from(!own)).map(|n_false| n_false == 0)
    }

    /// The sum of a count over all ranks.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    pub(crate) fn sum_of_counts(&self, own: u64) -> Result<u64, RankError> {
        let mut sum = own;
        for bit in 0..self.size().ilog2() {
            let mut received = [0; 8];
            self.transport.exchange(self.rank() ^ 1 << bit, &sum.to_le_bytes(), &mut received)?;
            sum += u64::from_le_bytes(received);
        }
        Ok(sum)
    }
}

/// `sum += x`, on this thread alone: the others compute.
fn add(sum: &mut [f32], x: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += x;
    }
}

#[cfg(test)]
mod tests {
    use roentgen_tensor::rng::{CounterRng, Purpose};

    use super::*;
    use crate::ranks::in_threads::on_ranks;

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// The sums over aligned pairs, and pairs of pairs.
    fn tree(mut parts: Vec<Vec<f32>>) -> Vec<f32> {
        while parts.len() > 1 {
            let add = |pair: &[Vec<f32>]| pair[0].iter().zip(&pair[1]).map(|(a, b)| a + b).collect();
            parts = parts.chunks(2).map(add).collect();
        }
        parts.swap_remove(0)
    }

    #[test]
    fn any_number_of_ranks_has_the_sum_of_the_tree() {
        for len in [0, 1, 7, SHORT - 1, SHORT, SHORT + 13, SEGMENT + 4097] {
            let mut rng = CounterRng::new(7, Purpose::Synthetic, len as u64, 0);
            let parts: Vec<Vec<f32>> = (0..8).map(|_| (0..len).map(|_| rng.normal()).collect()).collect();
            let expected = bits(&tree(parts.clone()));
            for size in [1, 2, 4, 8] {
                let sums = on_ranks(size, |ranks| {
                    let own = parts.len() / size;
                    let mut sum = tree(parts[ranks.rank() * own..][..own].to_vec());
                    ranks.sum(&mut sum).unwrap();
                    sum
                });
                assert!(sums.iter().all(|sum| bits(sum) == expected), "{len} numbers on {size} ranks");
            }
        }
    }

    #[test]
    fn one_rank_can_stop_all() {
        for size in [1, 2, 4] {
            for stopping in 0..=size {
                let all = on_ranks(size, |ranks| ranks.all(ranks.rank() != stopping).unwrap());
                assert!(all.iter().all(|all| *all == (stopping == size)));
            }
        }
    }
}
