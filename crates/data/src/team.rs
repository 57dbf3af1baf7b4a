//! Processes that load the same data set together: each decodes a share of the files, and every one gets all images.

use std::io;

use crate::error::DataError;

/// The processes that load together, and how bytes move between them.
pub trait Team: Sync {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// A process as errors name it.
    fn name(&self, rank: usize) -> String;

    /// The bytes of every process, in their order, on every process.
    ///
    /// # Errors
    /// If a process cannot be reached.
    fn gather(&self, own: &[u8]) -> io::Result<Vec<Vec<u8>>>;
}

/// A process that works alone.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Team for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn name(&self, _rank: usize) -> String {
        "this process".to_owned()
    }

    fn gather(&self, own: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        Ok(vec![own.to_vec()])
    }
}

/// Last byte of a message: whether the bytes before it are a result or an error.
const RESULT: u8 = 0;
const ERROR: u8 = 1;

/// The result of this process, and those of all processes as bytes, in their order. If one has failed, all fail: each with its own
/// error, or with that of another. So no process waits for one that has ended.
///
/// # Errors
/// `own`; [`DataError::OnOtherProcess`], [`DataError::NotExchanged`].
pub(crate) fn exchange<T>(
    team: &dyn Team,
    own: Result<T, DataError>,
    to_bytes: impl FnOnce(&T) -> Vec<u8>,
) -> Result<(T, Vec<Vec<u8>>), DataError> {
    let (mut message, kind) = match &own {
        Ok(result) => (to_bytes(result), RESULT),
        Err(error) => (error.to_string().into_bytes(), ERROR),
    };
    message.push(kind);
    let gathered = team.gather(&message);
    let own = own?;
    let mut all = gathered.map_err(|source| DataError::NotExchanged { source })?;
    for (rank, message) in all.iter_mut().enumerate() {
        if message.pop() != Some(RESULT) {
            let text = String::from_utf8_lossy(message).into_owned();
            return Err(DataError::OnOtherProcess { process: team.name(rank), text });
        }
    }
    Ok((own, all))
}

/// Fails on every process if they have not the same files: `files_of` gives their number and a digest.
///
/// # Errors
/// As [`exchange`]; [`DataError::OtherFiles`].
pub(crate) fn check_same_files<T>(
    team: &dyn Team,
    own: Result<T, DataError>,
    files_of: impl FnOnce(&T) -> (usize, [u8; 32]),
) -> Result<T, DataError> {
    if team.size() == 1 {
        return own;
    }
    let (own, all) = exchange(team, own, |own| {
        let (n, digest) = files_of(own);
        [&(n as u64).to_le_bytes()[..], &digest].concat()
    })?;
    let Some(rank) = all.iter().position(|message| *message != all[0]) else { return Ok(own) };
    let count = |message: &Vec<u8>| message.first_chunk().map_or(0, |&bytes| u64::from_le_bytes(bytes));
    Err(DataError::OtherFiles {
        process: team.name(rank),
        found: count(&all[rank]),
        first: team.name(0),
        expected: count(&all[0]),
    })
}
