//! Several processes that work as one, the ranks of an MPI job: a [`Transport`] moves bytes between them, and what they
//! compute together has the same bits with any number of them.
//!
//! No sum is left to MPI, whose order of additions would depend on the number of ranks: [`Ranks::sum`] adds in pairs, and
//! pairs of pairs.

use std::io;
use std::sync::Arc;

use roentgen_data::Team;

use error::{RankError, WorkError};
use transport::{OneProcess, Transport};

pub(crate) mod error;
#[cfg(test)]
pub(crate) mod in_threads;
pub(crate) mod launcher;
#[cfg(feature = "mpi")]
mod mpi;
mod sum;
pub(crate) mod transport;

/// The first rank, which alone writes files and talks to the user.
const FIRST: usize = 0;

/// This process among those that work together.
#[derive(Clone, Debug)]
pub(crate) struct Ranks {
    transport: Arc<dyn Transport>,
    /// The host of each rank.
    hosts: Arc<[String]>,
}

/// Something that must be the same on every rank.
#[derive(Clone, Debug)]
pub(crate) struct SharedFact {
    /// Its name in an error: "the program", "the setting --seed".
    pub name: &'static str,
    /// Its value here, as the error shows it.
    pub value: String,
    /// What to do where ranks have different values.
    pub remedy: &'static str,
}

impl Ranks {
    /// A process that works alone.
    pub(crate) fn one() -> Self {
        Self { transport: Arc::new(OneProcess), hosts: Arc::new([String::new()]) }
    }

    /// Ranks that `transport` connects, each on its `host`.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    #[cfg(any(test, feature = "mpi"))]
    pub(crate) fn over(transport: impl Transport + 'static, host: &str) -> Result<Self, RankError> {
        let mut ranks = Self { transport: Arc::new(transport), hosts: Arc::new([]) };
        let hosts = ranks.gather(host.as_bytes())?;
        ranks.hosts = hosts.into_iter().map(|host| String::from_utf8_lossy(&host).into_owned()).collect();
        Ok(ranks)
    }

    /// A rank as errors name it: with its host, if there are several.
    pub(crate) fn name_of(&self, rank: usize) -> String {
        let is_on_one_host = self.hosts.iter().all(|host| *host == self.hosts[0]);
        if is_on_one_host { format!("rank {rank}") } else { format!("rank {rank} on {}", self.hosts[rank]) }
    }

    /// The number of this process, from 0.
    pub(crate) fn rank(&self) -> usize {
        self.transport.rank()
    }

    /// How many there are.
    pub(crate) fn size(&self) -> usize {
        self.transport.size()
    }

    /// How many of them are on the host of this one.
    pub(crate) fn n_on_host(&self) -> usize {
        self.hosts.iter().filter(|host| **host == self.hosts[self.rank()]).count()
    }

    /// Whether this is the rank that writes files and talks to the user.
    pub(crate) fn is_first(&self) -> bool {
        self.rank() == FIRST
    }

    /// Sends bytes from the first rank to all others. There, `bytes` is replaced.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    pub(crate) fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<(), RankError> {
        self.broadcast_from(FIRST, bytes)
    }

    fn broadcast_from(&self, root: usize, bytes: &mut Vec<u8>) -> Result<(), RankError> {
        let mut length = (bytes.len() as u64).to_le_bytes();
        self.transport.broadcast(root, &mut length)?;
        // The same on every rank, and no more than the root has in memory.
        bytes.resize(u64::from_le_bytes(length) as usize, 0);
        self.transport.broadcast(root, bytes)
    }

    /// The bytes of every rank, in order, on every rank.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    pub(crate) fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, RankError> {
        let from = |root| {
            let mut bytes = if root == self.rank() { own.to_vec() } else { Vec::new() };
            self.broadcast_from(root, &mut bytes).map(|()| bytes)
        };
        (0..self.size()).map(from).collect()
    }

    /// The bytes of every rank, in order, on the first rank; none elsewhere.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    pub(crate) fn gather_on_first(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, RankError> {
        let mut length = (own.len() as u64).to_le_bytes();
        if !self.is_first() {
            self.transport.send(FIRST, &length)?;
            return self.transport.send(FIRST, &own).map(|()| Vec::new());
        }
        let mut all = vec![own];
        for rank in 1..self.size() {
            self.transport.receive(rank, &mut length)?;
            let mut bytes = vec![0; u64::from_le_bytes(length) as usize];
            self.transport.receive(rank, &mut bytes)?;
            all.push(bytes);
        }
        Ok(all)
    }

    /// How many threads this rank takes where no number is given: one for each processor that it may use, shared with the
    /// ranks of its host that may use the same ones. Launchers usually give each rank its own.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    pub(crate) fn default_threads(&self) -> Result<usize, RankError> {
        let n_processors = std::thread::available_parallelism().map_or(1, usize::from);
        if self.size() == 1 {
            return Ok(n_processors);
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let allowed = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap_or_default();
        let all = self.gather(allowed.as_bytes())?;
        let shares = |other: &usize| {
            self.hosts[*other] == self.hosts[self.rank()] && all[*other] == allowed.as_bytes()
        };
        Ok((n_processors / (0..self.size()).filter(shares).count()).max(1))
    }

    /// Fails if these ranks cannot have equal, aligned parts of the shards of a batch.
    ///
    /// # Errors
    /// [`RankError::NotPowerOfTwo`], [`RankError::Unshareable`].
    pub(crate) fn check_shards(&self, n_shards: usize) -> Result<(), RankError> {
        let size = self.size();
        if size.is_power_of_two() && n_shards.is_multiple_of(size) {
            return Ok(());
        }
        if !size.is_power_of_two() {
            let larger = size.next_power_of_two();
            return Err(RankError::NotPowerOfTwo { size, smaller: larger / 2, larger });
        }
        Err(RankError::Unshareable { size, n_shards, suggested: n_shards.max(size) })
    }

    /// Fails if there are several ranks, for work that they do not share.
    ///
    /// # Errors
    /// [`RankError::NotShared`].
    pub(crate) fn check_alone(&self, work: &'static str) -> Result<(), RankError> {
        let size = self.size();
        if size == 1 { Ok(()) } else { Err(RankError::NotShared { work, size }) }
    }

    /// Waits until every rank is here.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    #[cfg(any(test, feature = "mpi"))]
    pub(crate) fn barrier(&self) -> Result<(), RankError> {
        self.transport.barrier()
    }

    /// Fails on every rank if a fact is not the same on all of them. The error names the ranks that differ from most others.
    ///
    /// # Errors
    /// [`RankError::Differ`], or if a rank cannot be reached.
    pub(crate) fn agree(&self, facts: &[SharedFact]) -> Result<(), RankError> {
        if self.size() == 1 {
            return Ok(());
        }
        for SharedFact { name, value, remedy } in facts {
            let values: Vec<String> = self
                .gather(value.as_bytes())?
                .into_iter()
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .collect();
            let count = |value: &String| values.iter().filter(|other| *other == value).count();
            // Of values that are equally frequent, the one of the lowest rank.
            let usual = values.iter().rev().max_by_key(|value| count(value)).expect("at least one rank");
            let Some(odd) = values.iter().position(|value| value != usual) else { continue };
            let usual_rank = values.iter().position(|value| value == usual).expect("one of them");
            let odd_value = &values[odd];
            let (odd, usual_rank) = (self.name_of(odd), self.name_of(usual_rank));
            let text = format!("{name} of {odd} is {odd_value}, and of {usual_rank} it is {usual}; {remedy}");
            return Err(if self.is_first() { RankError::Differ { text } } else { RankError::Shown });
        }
        Ok(())
    }

    /// Does `work` on the first rank alone, and fails on all if it failed there.
    ///
    /// # Errors
    /// As [`Self::together`].
    pub(crate) fn first<T, E>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<Option<T>, E>
    where
        E: WorkError,
    {
        self.together(|| self.is_first().then(work).transpose())
    }

    /// Does `work` on every rank, and fails on all of them if it failed on any. The first rank returns the error to show, with
    /// the rank that it is from and its exit code; the others return [`RankError::Shown`], because the first rank shows it.
    ///
    /// # Errors
    /// The errors of `work`, and if a rank cannot be reached.
    pub(crate) fn together<T, E>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E>
    where
        E: WorkError,
    {
        let result = work();
        if self.size() == 1 {
            return result;
        }
        // The exit code, then the text; nothing where the work did not fail.
        let failure = |error: &E| [&[error.exit_code()][..], error.to_string().as_bytes()].concat();
        let failures = self.gather(&result.as_ref().err().map(failure).unwrap_or_default())?;
        let failed =
            failures.iter().enumerate().find_map(|(rank, failure)| Some((rank, failure.split_first()?)));
        let Some((rank, (&exit_code, text))) = failed else { return result };
        match result {
            // The error of the first rank is the one that one process would have.
            Err(error) if self.is_first() => Err(error),
            _ if self.is_first() => {
                let text = String::from_utf8_lossy(text).into_owned();
                Err(RankError::Failed { rank: self.name_of(rank), text, exit_code }.into())
            }
            _ => Err(RankError::Shown.into()),
        }
    }
}

/// Ranks load data together.
impl Team for Ranks {
    fn rank(&self) -> usize {
        self.rank()
    }

    fn size(&self) -> usize {
        self.size()
    }

    fn name(&self, rank: usize) -> String {
        self.name_of(rank)
    }

    fn gather(&self, own: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.gather(own).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::in_threads::on_ranks;
    use super::*;

    #[test]
    fn bytes_of_any_length_reach_every_rank() {
        for size in 1..=5 {
            on_ranks(size, |ranks| {
                for length in [0, 1, 100_000] {
                    let sent: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
                    let mut bytes = if ranks.is_first() { sent.clone() } else { vec![9; 3] };
                    ranks.broadcast(&mut bytes).unwrap();
                    assert!(bytes == sent);
                }
                let own = vec![ranks.rank() as u8; ranks.rank()];
                let all = ranks.gather(&own).unwrap();
                assert!((0..size).all(|rank| all[rank] == vec![rank as u8; rank]));
                let on_first = ranks.gather_on_first(own).unwrap();
                assert!(on_first == if ranks.is_first() { all } else { Vec::new() });
                ranks.barrier().unwrap();
            });
        }
    }

    #[test]
    fn the_odd_rank_is_named() {
        on_ranks(4, |ranks| {
            let fact =
                |name, value: &str| SharedFact { name, value: value.to_owned(), remedy: "start again" };
            assert!(ranks.agree(&[fact("the program", "a"), fact("the seed", "1")]).is_ok());
            let seed = if ranks.rank() == 0 { "2" } else { "1" };
            let error = ranks.agree(&[fact("the program", "a"), fact("the seed", seed)]).unwrap_err();
            let expected = "the seed of rank 0 is 2, and of rank 1 it is 1; start again";
            match ranks.is_first() {
                true => assert_eq!(error.to_string(), expected),
                false => assert!(matches!(error, RankError::Shown)),
            }
        });
    }

    #[test]
    fn an_error_of_one_rank_is_one_of_all() {
        on_ranks(3, |ranks| {
            let works = |failing: usize| {
                let work = || {
                    if ranks.rank() == failing { Err(RankError::Lost { text: "gone".into() }) } else { Ok(5) }
                };
                ranks.together(work)
            };
            assert_eq!(works(9).unwrap(), 5);
            let error = works(2).unwrap_err();
            match ranks.is_first() {
                true => assert_eq!(error.to_string(), "rank 2: gone"),
                false => assert!(matches!(error, RankError::Shown)),
            }
            assert_eq!(works(0).is_err_and(|error| error.to_string() == "gone"), ranks.is_first());
        });
    }
}
