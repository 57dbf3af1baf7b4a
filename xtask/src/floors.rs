//! The floors of a crate: a module imports only from its own room, or from rooms on lower floors. A room is a module at the
//! root of the crate, with the modules inside it.
//!
//! Read are the `use` lines, of every visibility and also inside functions, that begin with `crate` or `super`, and the
//! paths in expressions that begin with `crate::`. `super::` in a room stays in the room, unless there are so many that it
//! leaves it.

use std::collections::{BTreeMap, BTreeSet};

/// The floors of one crate.
pub(crate) struct Building {
    /// Where its modules are.
    pub(crate) folder: &'static str,
    /// The rooms, from the top floor to the ground. Rooms on one floor do not import each other.
    floors: &'static [&'static [&'static str]],
    /// Rooms whose modules do not import each other.
    separate: &'static [&'static str],
}

/// The crates that have floors.
pub(crate) const BUILDINGS: [Building; 2] = [
    Building { folder: "crates/app/src", floors: APP, separate: &["commands"] },
    Building { folder: "crates/data/src", floors: DATA, separate: &[] },
];
const APP: &[&[&str]] = &[
    &["main"],
    &["lib"],
    &["cli", "embed", "fuzzing"],
    &["serve"],
    &["commands", "bench"],
    &["threads"],
    &["error"],
    &["training"],
    &["report"],
    &["data_loading"],
    &["run_dir"],
    &["model"],
    &["config"],
    &["terminal"],
    &["metrics"],
    &["ranks"],
    &["cpu", "memory"],
];
const DATA: &[&[&str]] = &[
    &["lib"],
    &["load", "files", "phantom", "pseudonyms"],
    &["pool", "batch"],
    &["cache"],
    &["record"],
    &["source", "sample_bits", "tta"],
    &["file_notes"],
    &["dataset", "decode", "augment", "normalize"],
    &["file_format"],
    &["dicom"],
    &["leakage", "image_set", "options"],
    &["negatives"],
    &["duplicates", "small_image", "file_facts", "patients", "split"],
    &["thumbnail", "groups", "jpeg_scans", "file_identity", "pixel_file", "team"],
    &[
        "class_look",
        "caught_panic",
        "digest",
        "identifier",
        "image_file",
        "image_region",
        "jpeg_header",
        "crop_window",
        "colour",
        "subset",
        "error",
        "parts",
        "progress",
        "read_file",
        "sampler",
        "system_entries",
        "class_weights",
    ],
    &["disk"],
];

/// A module of a crate by its path, such as `["training", "step"]`, and its source text.
pub(crate) struct Module {
    pub(crate) path: Vec<String>,
    pub(crate) text: String,
}

impl Module {
    /// The module in the file `relative` to the folder of the crate's sources, such as `training/step.rs`.
    pub(crate) fn new(relative: &str, text: String) -> Self {
        let path = relative.trim_end_matches(".rs").split(['/', '\\']).map(str::to_owned).collect();
        Self { path, text }
    }

    fn name(&self) -> String {
        self.path.join("::")
    }
}

/// Every import that points upwards or sideways, every room without a floor, and every import cycle.
pub(crate) fn violations(building: &Building, modules: &[Module]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in modules {
        let Some(from) = building.floor_of(&module.path[0]) else {
            violations.push(format!(
                "{}: room `{}` has no floor; give it one in floors.rs",
                module.name(),
                module.path[0]
            ));
            continue;
        };
        for target in imports(module) {
            if let Some(violation) = building.wrong_direction(module, from, &target) {
                violations.push(violation);
            }
            if let Some(target) = module_of(modules, &target).filter(|target| *target != module.name()) {
                edges.entry(module.name()).or_default().insert(target);
            }
        }
    }
    violations.extend(cycle(&edges));
    violations
}

impl Building {
    /// Floor of a room, counted from the top.
    fn floor_of(&self, room: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&room))
    }

    /// What is wrong with the import of `target` by `module`, which is on the floor `from`.
    fn wrong_direction(&self, module: &Module, from: usize, target: &[String]) -> Option<String> {
        let room = &target[0];
        let shown = target.join("::");
        let Some(to) = self.floor_of(room) else {
            // What the root of the crate re-exports may come from any floor.
            return Some(format!("{} imports `{shown}` from the root; name its module", module.name()));
        };
        if *room != module.path[0] {
            return (to <= from)
                .then(|| format!("{} imports `{shown}`, which is not below it", module.name()));
        }
        let is_sibling = module.path.len() > 1 && target.len() > 1 && target[1] != module.path[1];
        (self.separate.contains(&room.as_str()) && is_sibling).then(|| {
            format!("{} imports `{shown}`: modules of `{room}` do not import each other", module.name())
        })
    }
}

/// The paths that a module imports from this crate, each from the crate's root.
fn imports(module: &Module) -> Vec<Vec<String>> {
    let code = without_tests_and_comments(&module.text);
    let mut found = Vec::new();
    for statement in code.split(';') {
        let Some(at) = statement.find("use ").filter(|&at| is_word_start(statement, at)) else { continue };
        let tree: String = statement[at + 4..].split_whitespace().collect::<Vec<_>>().join(" ");
        expand(&tree, &mut Vec::new(), &mut |path| found.extend(from_root(module, path)));
    }
    // Paths in expressions and types: `crate::model::inference::evaluate(..)`.
    for (at, _) in code.match_indices("crate::").filter(|&(at, _)| is_word_start(&code, at)) {
        let path: String =
            code[at..].chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
        let path: Vec<String> = path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        found.extend(from_root(module, &path));
    }
    found
}

pub(crate) fn is_word_start(text: &str, at: usize) -> bool {
    !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '"')
}

/// Code without comments and without a `mod tests` at its end: tests may import anything.
pub(crate) fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Calls `each` for every path of a `use` tree such as `a::{b, c::{d, e}}`.
fn expand(tree: &str, prefix: &mut Vec<String>, each: &mut impl FnMut(&[String])) {
    let depth = prefix.len();
    let (names, group) = match tree.split_once('{') {
        Some((names, rest)) => (names, Some(rest.trim_end().strip_suffix('}').unwrap_or(rest))),
        None => (tree, None),
    };
    let plain = names.split(" as ").next().unwrap_or_default();
    prefix.extend(plain.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned));
    match group {
        Some(group) => members(group).into_iter().for_each(|member| expand(member, prefix, each)),
        None => each(prefix),
    }
    prefix.truncate(depth);
}

/// The parts of a group that are between its outer commas.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    members.push(&group[start..]);
    members.into_iter().map(str::trim).filter(|member| !member.is_empty()).collect()
}

/// A path that begins with `crate`, `super` or `self`, from the crate's root; nothing for a path into another crate or the
/// root itself.
fn from_root(module: &Module, path: &[String]) -> Option<Vec<String>> {
    let mut base = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.path.clone(),
        _ => return None,
    };
    let mut names = path;
    while let [first, rest @ ..] = names {
        match first.as_str() {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            _ => break,
        }
        names = rest;
    }
    base.extend_from_slice(names);
    (!base.is_empty()).then_some(base)
}

/// The longest beginning of `path` that is a module with a file of its own.
fn module_of(modules: &[Module], path: &[String]) -> Option<String> {
    (1..=path.len()).rev().find_map(|length| {
        let module = modules.iter().find(|module| module.path == path[..length])?;
        Some(module.name())
    })
}

/// One cycle among the modules, if there is any. A module and the modules inside it count as one: a parent lists its
/// children, and children use what the parent defines.
fn cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let is_family = |a: &str, b: &str| a.starts_with(&format!("{b}::")) || b.starts_with(&format!("{a}::"));
    let next = |name: &str| -> Vec<&String> {
        edges.get(name).map_or_else(Vec::new, |to| to.iter().filter(|to| !is_family(name, to)).collect())
    };
    let mut done = BTreeSet::new();
    for start in edges.keys() {
        let mut path = Vec::new();
        if let Some(cycle) = visit(start, &next, &mut path, &mut done) {
            return Some(format!("import cycle: {}", cycle.join(" -> ")));
        }
    }
    None
}

/// Depth-first search: the cycle that is found first.
fn visit<'a>(
    name: &'a String,
    next: &impl Fn(&str) -> Vec<&'a String>,
    path: &mut Vec<&'a String>,
    done: &mut BTreeSet<&'a String>,
) -> Option<Vec<String>> {
    if let Some(at) = path.iter().position(|seen| *seen == name) {
        return Some(path[at..].iter().chain([&name]).map(|name| (*name).clone()).collect());
    }
    if !done.insert(name) {
        return None;
    }
    path.push(name);
    for target in next(name) {
        if let Some(cycle) = visit(target, next, path, done) {
            return Some(cycle);
        }
    }
    path.pop();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations_of(files: &[(&str, &str)]) -> Vec<String> {
        let modules: Vec<Module> =
            files.iter().map(|(path, text)| Module::new(path, (*text).to_owned())).collect();
        violations(&BUILDINGS[0], &modules)
    }

    #[test]
    fn an_import_that_points_upwards_is_found() {
        let planted = [
            "use crate::training::step::TrainingStep;",
            "pub(crate) use crate::training::step;",
            "use crate::{\n    cpu::missing_features,\n    training::{self, step::{TrainingStep, StepOutcome}},\n};",
            "use super::super::training::step;",
            "fn f() {\n    use crate::training::step;\n}",
            "fn f() { crate::training::step::take() }",
        ];
        for text in planted {
            let found = violations_of(&[("model/onnx.rs", text), ("training/step.rs", ""), ("cpu.rs", "")]);
            assert!(
                !found.is_empty() && found.iter().all(|violation| violation.contains("training")),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn imports_that_point_down_or_stay_are_none() {
        let down = "use std::fs;\nuse super::ood::OodDetector;\nuse crate::{config::TrainConfig, metrics};\n\
                    // use crate::training::step;\n#[cfg(test)]\nmod tests {\n    use crate::training::step;\n}\n";
        assert_eq!(violations_of(&[("model/onnx.rs", down), ("model/ood.rs", "")]), Vec::<String>::new());
    }

    #[test]
    fn commands_do_not_import_each_other_and_every_room_has_a_floor() {
        let found = violations_of(&[("commands/train.rs", "use super::audit::run;"), ("attic/a.rs", "")]);
        assert!(found.len() == 2 && found[0].contains("do not import each other"), "{found:?}");
        assert!(found[1].contains("no floor"), "{found:?}");
    }

    #[test]
    fn an_import_through_the_root_is_found() {
        let found = violations_of(&[("model/onnx.rs", "use crate::TrainingStep;")]);
        assert!(
            found.first().is_some_and(|violation| violation.contains("`TrainingStep` from the root")),
            "{found:?}"
        );
    }

    #[test]
    fn every_building_has_its_own_floors() {
        let module = |text: &str| Module::new("digest.rs", text.to_owned());
        let found = violations(&BUILDINGS[1], &[module("use crate::duplicates::DuplicatePair;")]);
        assert!(found.first().is_some_and(|violation| violation.contains("not below it")), "{found:?}");
        assert_eq!(violations(&BUILDINGS[1], &[module("use image::DynamicImage;")]), Vec::<String>::new());
    }

    #[test]
    fn the_docs_of_the_data_crate_list_its_floors() {
        let docs = include_str!("../../crates/data/src/lib.rs");
        let first_cells = docs.lines().filter_map(|line| line.strip_prefix("//! | `")?.split(" | ").next());
        let listed: Vec<Vec<&str>> =
            first_cells.map(|cell| cell.split(", ").map(|name| name.trim_matches('`')).collect()).collect();
        assert_eq!(listed, DATA[1..]);
    }

    #[test]
    fn a_cycle_in_a_room_is_found() {
        let found = violations_of(&[
            ("model/a.rs", "use super::b::B;"),
            ("model/b.rs", "use crate::model::c;"),
            ("model/c.rs", "use super::a::A;"),
        ]);
        assert_eq!(found, ["import cycle: model::a -> model::b -> model::c -> model::a"]);
        let family =
            [("metrics.rs", "use predictions::P;"), ("metrics/predictions.rs", "use super::Figures;")];
        assert_eq!(violations_of(&family), Vec::<String>::new());
    }
}
