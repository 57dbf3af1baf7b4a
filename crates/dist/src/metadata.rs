//! The packages that the programs are made of, as `cargo metadata` and `Cargo.lock` describe them.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// The packages whose programs are handed out.
const ROOTS: [&str; 2] = ["roentgen", "roentgen-launcher"];

/// A package as Cargo describes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) repository: Option<String>,
    /// Where it is from; nothing for the packages of this workspace.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
}

impl Package {
    /// A name that no other package has.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Its licence as an SPDX expression; older packages write `MIT/Apache-2.0`.
    pub(crate) fn license_expression(&self) -> String {
        self.license.as_deref().unwrap_or("see its licence text").replace('/', " OR ")
    }
}

/// A package that is a part of a program.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub(crate) package: Package,
    /// What it is made of: the titles of packages.
    pub(crate) needs: Vec<String>,
    /// The SHA-256 of its archive in the registry.
    pub(crate) checksum: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `build` and `dev`; nothing for what becomes a part of the program.
    kind: Option<String>,
}

/// All packages that the programs are made of, by name.
pub(crate) fn shipped(root: &Path, triple: &str) -> Result<Vec<Component>, String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", triple]);
    cargo.arg("--manifest-path").arg(root.join("Cargo.toml")).stderr(Stdio::inherit());
    let output = cargo.output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", output.status));
    }
    let lock = root.join("Cargo.lock");
    let lock =
        fs::read_to_string(&lock).map_err(|error| format!("cannot read {}: {error}", lock.display()))?;
    components(&output.stdout, &lock)
}

fn components(metadata: &[u8], lock: &str) -> Result<Vec<Component>, String> {
    let Metadata { packages, resolve } =
        serde_json::from_slice(metadata).map_err(|error| format!("cargo metadata is unreadable: {error}"))?;
    let needs: BTreeMap<String, Vec<String>> =
        resolve.nodes.into_iter().map(|node| (node.id, part_of_program(node.deps))).collect();
    let by_id: BTreeMap<&str, &Package> =
        packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let checksums = checksums(lock);

    let is_root = |package: &&Package| package.source.is_none() && ROOTS.contains(&package.name.as_str());
    let mut waiting: Vec<&str> = packages.iter().filter(is_root).map(|package| package.id.as_str()).collect();
    if waiting.len() != ROOTS.len() {
        return Err(format!("cargo metadata does not list {}", ROOTS.join(" and ")));
    }
    let mut found = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if found.insert(id) {
            waiting.extend(needs.get(id).into_iter().flatten().map(String::as_str));
        }
    }
    let mut components: Vec<Component> = found
        .into_iter()
        .map(|id| {
            let package =
                by_id.get(id).copied().ok_or_else(|| format!("cargo metadata does not describe {id}"))?;
            let titles = needs.get(id).into_iter().flatten().filter_map(|id| by_id.get(id.as_str()));
            let mut titles: Vec<String> = titles.map(|package| package.title()).collect();
            titles.sort();
            let checksum = checksums.get(&package.title()).cloned();
            Ok(Component { package: package.clone(), needs: titles, checksum })
        })
        .collect::<Result<_, String>>()?;
    components.sort_by_key(|component| component.package.title());
    Ok(components)
}

/// The ids of the dependencies that are not of build scripts and tests alone.
fn part_of_program(dependencies: Vec<Dependency>) -> Vec<String> {
    let is_part = |dependency: &Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
    dependencies.into_iter().filter(is_part).map(|dependency| dependency.pkg).collect()
}

/// The checksums in `Cargo.lock`, by the title of the package.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
        Some(line.trim_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks
        .filter_map(|block| {
            let title = format!("{} {}", value(block, "name")?, value(block, "version")?);
            Some((title, value(block, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "packages": [
            {"id": "1", "name": "roentgen", "version": "0.1.0", "license": "MIT", "manifest_path": "/w/Cargo.toml"},
            {"id": "2", "name": "roentgen-launcher", "version": "0.1.0", "manifest_path": "/w/l/Cargo.toml"},
            {"id": "3", "name": "rayon", "version": "1.0.0", "license": "MIT/Apache-2.0", "source": "registry+r",
             "manifest_path": "/r/rayon/Cargo.toml"},
            {"id": "4", "name": "cc", "version": "1.0.0", "source": "registry+r", "manifest_path": "/r/cc/Cargo.toml"},
            {"id": "5", "name": "dhat", "version": "1.0.0", "source": "registry+r", "manifest_path": "/r/dhat/Cargo.toml"}
        ],
        "resolve": {"nodes": [
            {"id": "1", "deps": [
                {"pkg": "3", "dep_kinds": [{"kind": "dev"}, {"kind": null}]},
                {"pkg": "5", "dep_kinds": [{"kind": "dev"}]}]},
            {"id": "2", "deps": []},
            {"id": "3", "deps": [{"pkg": "4", "dep_kinds": [{"kind": "build"}]}]},
            {"id": "4", "deps": []}, {"id": "5", "deps": []}
        ]}
    }"#;
    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"rayon\"\nversion = \"1.0.0\"\nchecksum = \"ab12\"\n\n\
        [[package]]\nname = \"roentgen\"\nversion = \"0.1.0\"\ndependencies = [\n \"rayon\",\n]\n";

    /// Roentgen, its launcher, and one library.
    pub(crate) fn some_components() -> Vec<Component> {
        components(METADATA.as_bytes(), LOCK).expect("components")
    }

    #[test]
    fn only_what_becomes_a_part_of_a_program_is_shipped() {
        let found = some_components();
        let titles: Vec<String> = found.iter().map(|component| component.package.title()).collect();
        assert_eq!(titles, ["rayon 1.0.0", "roentgen 0.1.0", "roentgen-launcher 0.1.0"]);
        assert_eq!(found[0].checksum.as_deref(), Some("ab12"));
        assert_eq!(found[0].package.license_expression(), "MIT OR Apache-2.0");
        assert_eq!(found[1].needs, ["rayon 1.0.0"]);
    }

    #[test]
    fn metadata_without_our_programs_is_an_error() {
        let error = components(br#"{"packages": [], "resolve": {"nodes": []}}"#, LOCK).expect_err("no roots");
        assert!(error.contains("roentgen-launcher"), "{error}");
    }
}
