//! docs/study.md against the schema of the study: each field of the contract is there, none that is
//! not, and what must be given is marked so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/study.md");
const CONTRACT: &str = include_str!("../openapi.json");

/// A component of the contract and one of its fields.
type Field = (String, String);

/// Each field of the components that a study is made of, and whether it must be given.
fn contract() -> BTreeMap<Field, bool> {
    let document: Json = serde_json::from_str(CONTRACT).unwrap();
    let schemas = &document["components"]["schemas"];
    let (mut open, mut seen, mut fields) = (vec!["Study".to_owned()], BTreeSet::new(), BTreeMap::new());
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let schema = &schemas[&name];
        let required =
            |field: &str| schema["required"].as_array().into_iter().flatten().any(|name| name == field);
        for field in schema["properties"].as_object().into_iter().flatten().map(|(field, _)| field) {
            fields.insert((name.clone(), field.clone()), required(field));
        }
        references(schema, &mut open);
    }
    fields
}

/// Adds the names of all components that `schema` refers to.
fn references(schema: &Json, found: &mut Vec<String>) {
    match schema {
        Json::Object(members) => {
            found.extend(
                members
                    .get("$ref")
                    .and_then(Json::as_str)
                    .and_then(|path| path.rsplit('/').next())
                    .map(str::to_owned),
            );
            members.values().for_each(|member| references(member, found));
        }
        Json::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a component is meant by `pattern`, which is its name, or has a `*` at one end.
fn is_meant(pattern: &str, component: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => component.ends_with(end),
        (_, Some(begin)) => component.starts_with(begin),
        _ => component == pattern,
    }
}

/// Each field that the page has a row for, and whether the row says that it must be given.
fn page(components: &BTreeSet<String>) -> BTreeMap<Field, bool> {
    let (text, mut tables, mut fields) =
        (std::fs::read_to_string(DOCS).unwrap(), Vec::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(names) = line.strip_prefix("Schema: ") {
            let patterns: Vec<&str> = quoted(names).collect();
            tables = components
                .iter()
                .filter(|component| patterns.iter().any(|pattern| is_meant(pattern, component)))
                .cloned()
                .collect();
            assert!(!tables.is_empty(), "{line}: no such component");
        } else if line.starts_with('#') {
            tables.clear();
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        let [names, _, default, ..] = cells[..] else { continue };
        let defaults: Vec<&str> = default.split(" / ").collect();
        for (at, pointer) in quoted(names).filter(|pointer| pointer.starts_with('/')).enumerate() {
            let field = pointer.rsplit('/').next().unwrap_or_default();
            let is_required = *defaults.get(at).unwrap_or(&defaults[0]) == "required";
            for component in &tables {
                let twice = fields.insert((component.clone(), field.to_owned()), is_required).is_some();
                assert!(!twice, "{component}.{field} has two rows");
            }
        }
    }
    fields
}

#[test]
fn every_field_of_a_study_has_its_row_in_the_docs_and_no_row_is_left_over() {
    let contract = contract();
    let components = contract.keys().map(|(component, _)| component.clone()).collect();
    let page = page(&components);
    let only_in = |a: &BTreeMap<Field, bool>, b: &BTreeMap<Field, bool>| {
        a.keys().filter(|field| !b.contains_key(*field)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(only_in(&contract, &page), Vec::<Field>::new(), "without a row in docs/study.md");
    assert_eq!(only_in(&page, &contract), Vec::<Field>::new(), "in docs/study.md, but not in the contract");
    let differ: Vec<_> = contract
        .iter()
        .filter(|(field, required)| page[*field] != **required)
        .map(|(field, _)| field)
        .collect();
    assert!(differ.is_empty(), "required or not: {differ:?}");
}
