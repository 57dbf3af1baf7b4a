//! The trainings on sets. One that was interrupted can be resumed while the images of its set stay as they are, and the page of a
//! model adds corrected images to its set.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use axum::http::StatusCode;

use crate::config::TrainConfig;
use crate::run_dir::file_names::{CONFIG, METRICS};
use crate::serve::problem::Problem;
use crate::serve::runs;
use crate::serve::site::Site;

/// Fails if there are trainings on the set in this folder that could not be resumed after a change of its images.
///
/// # Errors
/// [`Problem::Refused`] with their names and the status 428, at which the pages ask; [`Problem::Unreadable`].
pub(super) fn check_resumable(site: &Site, set: &Path) -> Result<(), Problem> {
    let unused = site.collection().unused();
    let at_work = site.trainings().at_work_on(set);
    if at_work.is_none() && unused.is(set) {
        return Ok(());
    }
    let mut names = listed(site, set)?;
    // It has no folder while its images are read.
    names.extend(at_work);
    names.sort();
    names.dedup();
    if names.is_empty() {
        unused.set(set);
        return Ok(());
    }
    let reason = format!(
        "{} can no longer be resumed after this change; let the training finish first, and resume it for that if it was stopped",
        names.join(", ")
    );
    Err(Problem::Refused(StatusCode::PRECONDITION_REQUIRED, reason))
}

/// The names of the trainings that have not ended and have the images in this folder.
fn listed(site: &Site, set: &Path) -> Result<Vec<String>, Problem> {
    let set = set.canonicalize().map_err(|_| Problem::NoData)?;
    let has_set =
        |run: &Path| data_of(run).is_some_and(|data| data.canonicalize().is_ok_and(|data| data == set));
    let mut trainings = trainings(site)?;
    trainings.retain(|(_, run)| !run.join(METRICS).is_file() && has_set(run));
    Ok(trainings.into_iter().map(|(name, _)| name).collect())
}

/// The names of the sets that runs have for their images, also of those that have been removed.
pub(super) fn names_in_use(site: &Site) -> Result<BTreeSet<String>, Problem> {
    let Ok(sets) = site.sets().canonicalize() else { return Ok(BTreeSet::new()) };
    let name_of = |(_, run): (String, PathBuf)| {
        let data = data_of(&run)?;
        let is_set = data.parent()?.canonicalize().is_ok_and(|folder| folder == sets);
        data.file_name().filter(|_| is_set)?.to_str().map(str::to_owned)
    };
    Ok(trainings(site)?.into_iter().filter_map(name_of).collect())
}

/// The names and folders of the trainings beside the sets: also of those beside a single run that is served.
fn trainings(site: &Site) -> Result<Vec<(String, PathBuf)>, Problem> {
    let folder = site.sets().parent().unwrap_or(site.runs_path());
    runs::trainings(folder).map_err(|error| Problem::Unreadable(format!("cannot read the runs: {error}")))
}

fn data_of(run: &Path) -> Option<PathBuf> {
    TrainConfig::read(&run.join(CONFIG)).ok().map(|config| config.data)
}
