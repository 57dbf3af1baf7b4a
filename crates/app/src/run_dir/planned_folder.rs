//! Where a run folder will be, before there is anything to write.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use roentgen_data::disk::{self, TEMPORARY_PREFIX, TemporaryFile};

use super::file_names::{CONFIG, DATA, IMAGES, SPACE};
use super::run_folder::{LOCK, RunFolder};
use crate::config::TrainConfig;
use crate::config::pseudonyms::KEY_FILE;
use crate::run_dir::error::{RunDirError, WriteError};

/// The folder that a run will be written to, before there is anything to write.
#[derive(Clone, Debug)]
pub(crate) enum PlannedFolder {
    /// With a path that was given.
    Given(PathBuf),
    /// Inside the folder of several trainings, which is locked: what a part that did not begin has left there is written over.
    Inside(PathBuf),
    /// With a name that is free when the folder is created: several runs may begin in the same second.
    ByDate {
        /// The folder above.
        parent: PathBuf,
        /// The name, to which a number is added where it is taken.
        name: String,
    },
}

impl PlannedFolder {
    /// Takes `--out`, or a name after date and time under `runs/`.
    ///
    /// # Errors
    /// [`RunDirError::OutIsRun`] and [`RunDirError::OutNotEmpty`] if something is there already,
    /// [`RunDirError::OutUnreadable`]. Nothing is created yet: a
    /// run that fails before it has begun leaves no folder.
    pub(crate) fn new(out: Option<&Path>) -> Result<Self, RunDirError> {
        let Some(out) = out else {
            let name = jiff::Zoned::now().strftime("%Y-%m-%d_%H-%M-%S").to_string();
            return Ok(Self::ByDate { parent: "runs".into(), name });
        };
        let is_free = match disk::list(out) {
            Ok(entries) => holds_no_run(entries.flatten().map(|entry| entry.file_name())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => false,
            Err(source) => return Err(RunDirError::OutUnreadable { path: out.into(), source }),
        };
        match (is_free, out.join(CONFIG).is_file()) {
            (true, _) => Ok(Self::Given(out.into())),
            (false, true) => Err(RunDirError::OutIsRun { path: out.into() }),
            (false, false) => Err(RunDirError::OutNotEmpty { path: out.into() }),
        }
    }

    /// As [`Self::new`], for a run with these settings: the folder must not be among the images, nor have their cache in it, and
    /// must be writable.
    ///
    /// # Errors
    /// As [`Self::new`] and [`Self::check_outside`]; [`RunDirError::CacheInOut`]; [`WriteError`].
    pub(crate) fn for_run(out: Option<&Path>, config: &TrainConfig) -> Result<Self, RunDirError> {
        Self::new(out)?.checked(config)
    }

    /// The same for the folder that several tasks work in, which may exist.
    ///
    /// # Errors
    /// As [`Self::check_outside`]; [`RunDirError::CacheInOut`]; [`WriteError`].
    pub(crate) fn for_task(out: &Path, config: &TrainConfig) -> Result<Self, RunDirError> {
        Self::Given(out.into()).checked(config)
    }

    /// A folder in that of a run, for a run that is part of it.
    #[must_use]
    pub(crate) fn inside(whole: &RunFolder, name: &str) -> Self {
        Self::Inside(whole.file(name))
    }

    /// Checks that the folder will not lie in a folder of images, for training or for the test, where its name would be taken
    /// for a class.
    ///
    /// # Errors
    /// [`RunDirError::OutInData`].
    pub(crate) fn check_outside(&self, config: &TrainConfig) -> Result<(), RunDirError> {
        if config.uses_phantom() {
            return Ok(());
        }
        let path = match self {
            Self::Given(path) | Self::Inside(path) => path.clone(),
            Self::ByDate { parent, name } => parent.join(name),
        };
        let absolute = std::path::absolute(path).unwrap_or_default();
        // Of the folders above, the lowest that exists.
        let existing = absolute.ancestors().skip(1).find_map(|folder| folder.canonicalize().ok());
        for images in [Some(&config.data), config.test.as_ref()].into_iter().flatten() {
            if let (Some(existing), Ok(data)) = (&existing, images.canonicalize())
                && data.is_dir()
                && existing.starts_with(&data)
            {
                return Err(RunDirError::OutInData { data });
            }
        }
        Ok(())
    }

    /// Checks that decoded images will not be kept in the folder, which would then not be empty when it is created.
    fn check_cache(&self, config: &TrainConfig) -> Result<(), RunDirError> {
        match (self, &config.cache) {
            (Self::Given(out), Some(cache)) if without_links(cache).starts_with(without_links(out)) => {
                Err(RunDirError::CacheInOut { cache: cache.clone(), out: out.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Also checks that the folder can be made, or written if it exists: to notice that only after all images were read takes
    /// long.
    fn checked(self, config: &TrainConfig) -> Result<Self, RunDirError> {
        self.check_outside(config)?;
        self.check_cache(config)?;
        let (Self::Given(path) | Self::Inside(path) | Self::ByDate { parent: path, .. }) = &self;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        if let Some(existing) = absolute.ancestors().find(|folder| folder.exists()) {
            // Permissions alone do not show it: the file system may be read-only.
            TemporaryFile::create(existing).map_err(|source| WriteError { path: path.clone(), source })?;
        }
        Ok(self)
    }

    /// Creates the folder.
    ///
    /// # Errors
    /// [`WriteError`]; as [`Self::new`] if another process has used the folder since it was planned.
    pub(crate) fn create(self) -> Result<RunFolder, RunDirError> {
        let is_part = matches!(self, Self::Inside(_));
        let path = match self {
            Self::Given(path) | Self::Inside(path) => {
                disk::create_folders(&path).map_err(|source| WriteError { path: path.clone(), source })?;
                path
            }
            Self::ByDate { parent, name } => create_with_free_name(&parent, &name)?,
        };
        let folder = RunFolder::locked(path)?;
        if !is_part {
            // While images were loaded, another run may have begun in it, and even ended.
            Self::new(Some(folder.path()))?;
        }
        Ok(folder)
    }
}

/// The absolute path without links, as far as its folders exist.
fn without_links(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = absolute.ancestors().find_map(|folder| {
        let below = absolute.strip_prefix(folder).ok()?;
        Some(folder.canonicalize().ok()?.join(below))
    });
    resolved.unwrap_or(absolute)
}

/// Creates `parent/name`, or `parent/name_2` and so on where that exists. The system creates a folder for one process only,
/// so that two runs never get the same one.
fn create_with_free_name(parent: &Path, name: &str) -> Result<PathBuf, WriteError> {
    disk::create_folders(parent).map_err(|source| WriteError { path: parent.into(), source })?;
    let mut path = parent.join(name);
    for count in 2_u32.. {
        match disk::create_new_folder(&path) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                path = parent.join(format!("{name}_{count}"));
            }
            Err(source) => return Err(WriteError { path, source }),
        }
    }
    Ok(path)
}

/// Whether a folder is empty, or has only the files of a run that was killed before its settings were written.
fn holds_no_run(names: impl Iterator<Item = OsString>) -> bool {
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let is_of_beginning = |name: &String| {
        [LOCK, DATA, SPACE, IMAGES, KEY_FILE].contains(&name.as_str()) || name.starts_with(TEMPORARY_PREFIX)
    };
    names.is_empty() || (names.iter().any(|name| name == LOCK) && names.iter().all(is_of_beginning))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run_dir::file_names::METRICS;

    #[test]
    fn a_folder_in_use_is_rejected_and_an_empty_one_taken() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let plan = |name: &str| PlannedFolder::new(Some(&parent.path().join(name)));
        fs::create_dir(parent.path().join("empty")).expect("a folder");
        fs::write(parent.path().join("file"), "x").expect("a file");
        assert!(plan("empty").is_ok() && plan("new/deep").is_ok());
        assert!(!parent.path().join("new").exists(), "planning must create nothing");
        let run = plan("new/deep").and_then(PlannedFolder::create).expect("a run folder");
        run.write("config.toml", b"seed = 1\n").expect("a written file");
        assert!(matches!(plan("file"), Err(RunDirError::OutNotEmpty { .. })));
        let too_long = plan(&"n".repeat(300)).expect_err("a name of 300 letters").to_string();
        assert!(too_long.ends_with("give a shorter name"), "{too_long}");
        let below_file =
            PlannedFolder::Given(parent.path().join("file/run")).create().expect_err("a file").to_string();
        assert!(below_file.contains("a file is in the place of a folder"), "{below_file}");
        assert!(matches!(plan("new/deep"), Err(RunDirError::OutIsRun { .. })));
    }

    #[test]
    fn a_run_that_began_and_ended_since_it_was_planned_is_not_overwritten() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let out = parent.path().join("run");
        let [first, second] = [(); 2].map(|()| PlannedFolder::new(Some(&out)).expect("nothing is there yet"));
        let run = first.create().expect("a run folder");
        run.write(CONFIG, b"").and_then(|()| run.write(METRICS, b"{}")).expect("written files");
        run.finish().expect("the end");
        drop(run);
        let error = second.create().expect_err("it is taken").to_string();
        assert!(error.contains("run is the folder of another run"), "{error}");
        // A part of several trainings whose settings were lost is trained again.
        let whole = PlannedFolder::Given(parent.path().join("whole")).create().expect("a folder");
        fs::create_dir(whole.file("fold-1")).expect("a folder");
        fs::write(whole.file("fold-1").join(METRICS), "{}").expect("a file");
        assert!(PlannedFolder::inside(&whole, "fold-1").create().is_ok());
    }

    #[test]
    fn a_run_folder_inside_the_data_is_rejected() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let data = parent.path().join("data");
        fs::create_dir_all(data.join("normal")).expect("folders");
        let test = parent.path().join("test");
        fs::create_dir_all(test.join("normal")).expect("folders");
        let config = TrainConfig { data, test: Some(test), ..TrainConfig::default() };
        let check = |out: &str| PlannedFolder::Given(parent.path().join(out)).check_outside(&config);
        for inside in ["data/run", "data/new/deep", "data/normal/../run", "test/run", "test/normal/run"] {
            assert!(matches!(check(inside), Err(RunDirError::OutInData { .. })), "{inside}");
        }
        for outside in ["run", "data2/run", "data/../run", "test2/run"] {
            assert!(check(outside).is_ok(), "{outside}");
        }
        let working_folder = TrainConfig { data: ".".into(), ..TrainConfig::default() };
        let name_alone = PlannedFolder::Given("run".into()).check_outside(&working_folder);
        assert!(matches!(name_alone, Err(RunDirError::OutInData { .. })));
    }

    #[test]
    fn runs_that_begin_in_the_same_second_get_folders_of_their_own() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let planned = PlannedFolder::ByDate {
            parent: parent.path().join("runs"),
            name: "2026-11-27_12-00-00".to_owned(),
        };
        // All are planned before the first one is created.
        let runs: Vec<RunFolder> =
            (0..3).map(|_| planned.clone().create().expect("a run folder of its own")).collect();
        let names: Vec<_> = runs.iter().filter_map(|run| run.path().file_name()).collect();
        assert_eq!(names, ["2026-11-27_12-00-00", "2026-11-27_12-00-00_2", "2026-11-27_12-00-00_3"]);
    }

    #[test]
    fn what_a_run_left_that_was_killed_before_it_began_is_no_run() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let out = parent.path().join("run");
        let run = PlannedFolder::new(Some(&out)).and_then(PlannedFolder::create).expect("a run folder");
        run.write(DATA, b"{}").expect("a written file");
        fs::write(run.file(".tmp-abc"), "half").expect("a file");
        let again = PlannedFolder::new(Some(&out)).expect("nothing of a run");
        assert!(
            matches!(again.clone().create(), Err(RunDirError::InUse { .. })),
            "it is just about to begin"
        );
        drop(run);
        let again = again.create().expect("nobody works in it");
        assert!(!again.file(".tmp-abc").exists());
        again.write(CONFIG, b"").expect("a written file");
        assert!(PlannedFolder::new(Some(&out)).is_err());
        // Without a lock, the file is the user's.
        let other = parent.path().join("other");
        fs::create_dir(&other).expect("a folder");
        fs::write(other.join(DATA), "precious").expect("a file");
        assert!(PlannedFolder::new(Some(&other)).is_err());
    }
}
