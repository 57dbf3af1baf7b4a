//! Whether this process was started as one of several, by mpirun or srun.

use super::Ranks;
use super::error::RankError;

/// Variables in which a launcher of MPI programs gives the number of processes: Open MPI, then MPICH and Slurm's pmi2.
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
/// Set by launchers that speak PMIx, such as `srun --mpi=pmix`, beside Slurm's number of tasks.
const PMIX_RANK: &str = "PMIX_RANK";
const SLURM_SIZE: &str = "SLURM_NTASKS";

/// The variable that gives the number of processes, and the number; `None` for a process that was started alone.
fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<(&'static str, usize)> {
    let size = |name| variable(name).and_then(|text| text.trim().parse().ok());
    let mpi_size = SIZES.into_iter().find_map(|name| size(name).map(|size| (name, size)));
    let slurm_size = || size(SLURM_SIZE).map(|size| (SLURM_SIZE, size));
    mpi_size.or_else(|| variable(PMIX_RANK).and_then(|_| slurm_size()))
}

/// Runs `work` as one of the ranks that were started together, or alone. `is_shown_elsewhere` says of an error that another rank
/// ends with it.
///
/// # Errors
/// [`RankError::WithoutMpi`], [`RankError::OtherMpi`] and [`RankError::NoMpi`]; else as `work`.
pub(crate) fn with_ranks<T, E>(
    work: impl FnOnce(&Ranks) -> Result<T, E>,
    is_shown_elsewhere: impl Fn(&E) -> bool,
) -> Result<T, E>
where
    E: From<RankError>,
{
    match launched(|name| std::env::var(name).ok()) {
        #[cfg(feature = "mpi")]
        Some((launcher, size)) => {
            let work = |ranks: &Ranks| {
                if size > 1 && ranks.size() == 1 {
                    return Err(RankError::OtherMpi { launcher, size, library: super::mpi::library() }.into());
                }
                work(ranks)
            };
            super::mpi::with_mpi(work, is_shown_elsewhere)
        }
        #[cfg(not(feature = "mpi"))]
        Some((launcher, size)) if size > 1 => Err(RankError::WithoutMpi { launcher, size }.into()),
        _ => {
            let _ = is_shown_elsewhere;
            work(&Ranks::one())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_is_recognised_by_its_variables() {
        let of = |variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
            launched(|name| find(name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "4")]), Some(("OMPI_COMM_WORLD_SIZE", 4)));
        assert_eq!(of(&[("PMI_SIZE", "2"), ("PMI_RANK", "1")]), Some(("PMI_SIZE", 2)));
        assert_eq!(of(&[("PMIX_RANK", "1"), ("SLURM_NTASKS", "8")]), Some(("SLURM_NTASKS", 8)));
        // A batch script runs with this too, and not as several processes.
        assert_eq!(of(&[("SLURM_NTASKS", "8")]), None);
    }
}
