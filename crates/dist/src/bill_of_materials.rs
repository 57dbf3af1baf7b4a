//! The bill of materials: what the programs are made of, for tools that look for known faults (CycloneDX 1.5, JSON).
//!
//! It has no serial number and no time, which the format leaves open: the same programs have the same bill.

use serde_json::{Value, json};

use crate::VERSION;
use crate::metadata::Component;

/// The bill, with the version of the compiler, whose standard library is part of each program.
pub(crate) fn cyclone_dx(components: &[Component], rust_version: &str) -> Vec<u8> {
    let rust = json!({
        "type": "library",
        "bom-ref": "rust-std",
        "name": "rust-std",
        "version": rust_version,
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    });
    let dependencies: Vec<Value> = components
        .iter()
        .map(|component| {
            let needs: Vec<String> = component.needs.iter().map(|title| reference(title)).collect();
            json!({ "ref": reference(&component.package.title()), "dependsOn": needs })
        })
        .collect();
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": "archive",
            "name": "roentgen",
            "version": VERSION,
            "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        } },
        "components": components.iter().map(described).chain([rust]).collect::<Vec<_>>(),
        "dependencies": dependencies,
    });
    let mut text = serde_json::to_vec_pretty(&bill).expect("plain text and lists");
    text.push(b'\n');
    text
}

fn described(component: &Component) -> Value {
    let package = &component.package;
    let mut value = json!({
        "type": "library",
        "bom-ref": reference(&package.title()),
        "name": package.name,
        "version": package.version,
        "licenses": [{ "expression": package.license_expression() }],
    });
    if let Some(description) = &package.description {
        value["description"] = json!(description.trim());
    }
    // Only what is in the registry has an address there.
    if package.source.is_some() {
        value["purl"] = json!(reference(&package.title()));
    }
    if let Some(checksum) = &component.checksum {
        value["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    value
}

/// A package URL, made of the name and the version of a package.
fn reference(title: &str) -> String {
    format!("pkg:cargo/{}", title.replace(' ', "@").replace('+', "%2B"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::some_components;

    #[test]
    fn the_bill_lists_each_package_with_its_checksum_and_its_parts() {
        let bill: Value = serde_json::from_slice(&cyclone_dx(&some_components(), "1.95.0")).expect("JSON");
        assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
        let rayon = &bill["components"][0];
        assert_eq!(rayon["purl"], "pkg:cargo/rayon@1.0.0");
        assert_eq!(rayon["hashes"], json!([{ "alg": "SHA-256", "content": "ab12" }]));
        assert_eq!(bill["components"][1]["purl"], Value::Null, "our own package is in no registry");
        let ours = json!({ "ref": "pkg:cargo/roentgen@0.1.0", "dependsOn": ["pkg:cargo/rayon@1.0.0"] });
        assert_eq!(bill["dependencies"][1], ours);
        assert_eq!(bill["components"][3]["version"], "1.95.0");
    }
}
