//! What a request to train asks for, checked as the command line checks its flags.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use axum::http::StatusCode;
use clap::ValueEnum as _;
use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::super::data_set::DataSet;
use super::super::names::{numbered, set_name};
use super::super::page_words::without_flags;
use super::super::problem::Problem;
use super::super::site::Site;
use crate::config::error::ConfigError;
use crate::config::setting::out_of_range;
use crate::config::{Preset, TrainConfig, settings};
use crate::run_dir::error::RunDirError;
use crate::run_dir::planned_folder::PlannedFolder;

/// The settings that a request may give. None of them is a path.
pub(super) const SETTINGS: [&str; 5] = ["epochs", "size", "width", "seed", "films"];
/// Longest name of a run, in bytes.
const MAX_NAME: usize = 100;

/// A request to train.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    /// See [`DataSet::of`].
    data: String,
    #[serde(default)]
    preset: String,
    /// Whether files that cannot be used are left out; a form sends it as a text.
    #[serde(default)]
    skip_bad: Value,
    /// That of the run; by default, that of the images.
    #[serde(default)]
    name: String,
    /// Those of [`SETTINGS`], as numbers or as texts; an empty text leaves one to the program.
    #[serde(flatten)]
    settings: BTreeMap<String, Value>,
}

/// A training that can be started.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// Those of `roentgen train`.
    pub(super) arguments: Vec<OsString>,
}

/// A request that has to be changed.
fn refused(reason: impl ToString) -> Problem {
    Problem::Refused(StatusCode::BAD_REQUEST, reason.to_string())
}

/// By hand, because the table of settings knows what they are and their ranges.
impl PartialSchema for Order {
    fn schema() -> RefOr<Schema> {
        let text = |description: &str| {
            ObjectBuilder::new().schema_type(Type::String).description(Some(description)).build()
        };
        let preset_names = Preset::value_variants().iter().filter_map(|preset| preset.to_possible_value());
        let preset_names: Vec<String> = preset_names.map(|preset| preset.get_name().to_owned()).collect();
        let named = [
            (
                "data",
                "The images: `phantoms`, `folder:PATH` below the root of the server, or `set:NAME`"
                    .to_owned(),
            ),
            (
                "preset",
                format!("Settings to start from, instead of the defaults: {}", preset_names.join(", ")),
            ),
            (
                "name",
                "That of the run; by default, that of the images, with a number if it is taken".to_owned(),
            ),
        ];
        let order = ObjectBuilder::new()
            .required("data")
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        let order =
            named.iter().fold(order, |order, (name, description)| order.property(*name, text(description)));
        let skip_bad = ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .description(Some("Leave out files that cannot be used, instead of starting no training"));
        let order = order.property("skip_bad", skip_bad);
        let settings = SETTINGS.into_iter().filter_map(settings::named);
        let order = settings.fold(order, |order, setting| {
            let types = SchemaType::Array(vec![Type::Number, Type::String]);
            let description = format!("{}: {}", setting.help(), setting.expected());
            let value = ObjectBuilder::new().schema_type(types).description(Some(description));
            order.property(setting.name(), value)
        });
        order.into()
    }
}

impl ToSchema for Order {}

impl Order {
    /// The request in a body.
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body)
            .map_err(|error| refused(format!("the request is not the JSON that is expected: {error}")))
    }

    /// The command that does it.
    ///
    /// # Errors
    /// [`Problem::NoData`], or [`Problem::Refused`] with what is wrong.
    pub(super) fn plan(&self, site: &Site) -> Result<Plan, Problem> {
        let data = DataSet::of(site, &self.data)?;
        let mut arguments: Vec<OsString> = Vec::new();
        let flag = |name: &str, value: &OsStr| [format!("--{name}").into(), value.to_owned()];
        let mut config = TrainConfig::default();
        if !self.preset.is_empty() {
            let preset =
                Preset::from_str(&self.preset, false).map_err(|_| refused("there is no such preset"))?;
            config = preset.config();
            arguments.extend(flag("preset", self.preset.as_ref()));
        }
        if let DataSet::Path(path) = &data {
            config.data.clone_from(path);
            arguments.extend(flag("data", path.as_ref()));
        }
        // Phantom films have no files, and a form may send it all the same.
        if self.skips_bad()? && matches!(data, DataSet::Path(_)) {
            config.skip_bad = true;
            arguments.push("--skip-bad".into());
        }
        for (name, text) in self.given()? {
            set(name, &text, &mut config).map_err(|error| refused(without_flags(&error.to_string())))?;
            arguments.extend(flag(name, text.as_ref()));
        }
        config.validate().map_err(|error| refused(without_flags(&error.to_string())))?;
        if self.settings.contains_key("films") && !config.uses_phantom() {
            return Err(refused("films is the number of phantom films, and other images were chosen"));
        }
        let (name, folder) = self.place(site, &data.title(site, &self.data))?;
        let planned = PlannedFolder::new(Some(&folder)).and_then(|planned| planned.check_outside(&config));
        planned.map_err(|error| match error {
            RunDirError::OutInData { .. } => refused(
                "the folder of the images has the folder of the runs in it, which would be taken for a class; choose a \
                 folder inside, or start roentgen serve with another folder of runs",
            ),
            error => refused(error),
        })?;
        arguments.extend(flag("out", folder.as_ref()));
        Ok(Plan { name, folder, arguments })
    }

    fn skips_bad(&self) -> Result<bool, Problem> {
        match &self.skip_bad {
            Value::Null => Ok(false),
            Value::Bool(skips) => Ok(*skips),
            Value::String(text) if text == "true" => Ok(true),
            _ => Err(refused("skip_bad is true or false")),
        }
    }

    /// The settings that have a value.
    fn given(&self) -> Result<Vec<(&str, String)>, Problem> {
        let mut given = Vec::new();
        for (name, value) in &self.settings {
            if !SETTINGS.contains(&name.as_str()) {
                let settings = SETTINGS.join(", ");
                return Err(refused(format!(
                    "{name:?} cannot be set here; only data, name, preset, skip_bad, {settings}"
                )));
            }
            match value {
                Value::String(text) if text.trim().is_empty() => {}
                Value::String(text) => given.push((name.as_str(), text.trim().to_owned())),
                Value::Number(number) => given.push((name.as_str(), number.to_string())),
                _ => return Err(refused(format!("{name} is no number"))),
            }
        }
        Ok(given)
    }

    /// The name of the run, and its folder in that of the runs, where nothing has this name.
    fn place(&self, site: &Site, title: &str) -> Result<(String, PathBuf), Problem> {
        let runs = site.runs_folder()?;
        let name = self.name.trim();
        if name.is_empty() {
            let names = numbered(set_name(title)).map(|name| (runs.join(&name), name));
            let is_free = |(folder, _): &(PathBuf, String)| folder.symlink_metadata().is_err();
            let mut free = names.filter(is_free).map(|(folder, name)| (name, folder));
            return free.next().ok_or(Problem::Failed);
        }
        Ok((name.to_owned(), free_folder(site, name)?))
    }
}

/// The folder that a run with this name has in that of the runs, where nothing has this name.
///
/// # Errors
/// [`Problem::Refused`] if it can be no name, or is taken: also by a training whose folder is made when its images are read.
pub(in crate::serve) fn free_folder(site: &Site, name: &str) -> Result<PathBuf, Problem> {
    if !is_name(name) {
        return Err(refused(format!(
            "a name has letters, digits, spaces, dots, - and _, and at most {MAX_NAME} bytes; it begins with a letter or a \
             digit, and does not end with a dot"
        )));
    }
    if site.trainings().at_work().is_some_and(|at_work| at_work == name) {
        let reason = format!("{name} is in training; choose another name");
        return Err(Problem::Refused(StatusCode::CONFLICT, reason));
    }
    let folder = site.runs_folder()?.join(name);
    if folder.symlink_metadata().is_ok() {
        let reason = format!("there is a run named {name}; choose another name");
        return Err(Problem::Refused(StatusCode::CONFLICT, reason));
    }
    Ok(folder)
}

/// Whether a name is that of a folder on every system, in the folder of the runs.
fn is_name(name: &str) -> bool {
    let is_plain = |character: char| character.is_alphanumeric() || " -_.".contains(character);
    name.len() <= MAX_NAME
        && name.starts_with(char::is_alphanumeric)
        && name.chars().all(is_plain)
        && !name.ends_with(['.', ' '])
}

fn set(name: &str, text: &str, config: &mut TrainConfig) -> Result<(), ConfigError> {
    let setting = settings::named(name).expect("a name of the table");
    setting.set_text(text, config).ok_or_else(|| out_of_range(setting, text))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn site(folder: &Path) -> Site {
        Site::new(folder, folder, 1).expect("threads")
    }

    #[test]
    fn a_request_becomes_the_command_line_of_the_same_training() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let body = r#"{"data": "phantoms", "preset": "robust", "epochs": 3, "size": "32", "seed": "", "name": " my run "}"#;
        let plan =
            Order::read(body.as_bytes()).and_then(|order| order.plan(&site(folder.path()))).expect("a plan");
        let out = folder.path().join("my run");
        assert_eq!((plan.name.as_str(), &plan.folder), ("my run", &out));
        let expected = ["--preset", "robust", "--epochs", "3", "--size", "32", "--out"].map(OsString::from);
        assert_eq!(plan.arguments, [&expected[..], &[out.into()]].concat());
        std::fs::create_dir_all(folder.path().join("films/normal")).expect("a folder");
        for skips in ["true", "\"true\""] {
            let plan_for = |data: &str| {
                let body = format!(r#"{{"data": "{data}", "skip_bad": {skips}, "name": "a"}}"#);
                let plan = Order::read(body.as_bytes()).and_then(|order| order.plan(&site(folder.path())));
                plan.expect("a plan").arguments
            };
            let skip = OsString::from("--skip-bad");
            for films in ["phantoms", "phantom"] {
                assert!(!plan_for(films).contains(&skip), "they have no files");
            }
            assert!(plan_for("folder:films").contains(&skip));
        }
        for name in ["phantom-films", "phantom-films-2"] {
            let order = Order::read(br#"{"data": "phantoms"}"#).expect("a request");
            let plan = order.plan(&site(folder.path())).expect("a plan");
            assert_eq!(plan.name, name);
            std::fs::create_dir(plan.folder).expect("a folder");
        }
    }

    #[test]
    fn what_cannot_be_trained_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir_all(folder.path().join("films/normal")).expect("a folder");
        std::fs::create_dir(folder.path().join("taken")).expect("a folder");
        let site = site(folder.path());
        for (body, words) in [
            ("", "the request is not"),
            ("{}", "missing field `data`"),
            (r#"{"data": "phantoms", "epochs": 0}"#, "epochs is 0: expected 1 to 100000"),
            (r#"{"data": "phantoms", "epochs": "many"}"#, "epochs is many"),
            (r#"{"data": "phantoms", "size": [8]}"#, "size is no number"),
            (r#"{"data": "phantoms", "skip_bad": 1}"#, "skip_bad is true or false"),
            (r#"{"data": "phantoms", "size": 7}"#, "size is 7: expected 8 to 512 pixels"),
            (
                r#"{"data": "phantoms", "init": "/etc/passwd"}"#,
                "\"init\" cannot be set here; only data, name, preset, skip_bad, epochs,",
            ),
            (r#"{"data": "phantoms", "preset": "best"}"#, "no such preset"),
            (r#"{"data": "phantoms", "name": "taken"}"#, "there is a run named taken"),
            (r#"{"data": "phantoms", "name": "../elsewhere"}"#, "a name has"),
            (r#"{"data": "phantoms", "name": ".hidden"}"#, "a name has"),
            (r#"{"data": "phantoms", "name": "a/b"}"#, "a name has"),
            (r#"{"data": "phantoms", "name": "a."}"#, "a name has"),
            (r#"{"data": "folder:films", "films": 30}"#, "other images"),
            // The runs are in the folder of the images.
            (r#"{"data": "folder:"}"#, "choose a folder inside"),
        ] {
            match Order::read(body.as_bytes()).and_then(|order| order.plan(&site)) {
                Err(Problem::Refused(_, reason)) => assert!(reason.contains(words), "{body}: {reason}"),
                other => panic!("{body}: {other:?}"),
            }
        }
        let elsewhere = Order::read(br#"{"data": "folder:../films"}"#).expect("a request");
        assert!(matches!(elsewhere.plan(&site), Err(Problem::NoData)));
    }
}
