//! The contract as a file: the text of `openapi.json`.

/// The contract of the API as it is built now, as the text of `openapi/openapi.json`.
pub fn text() -> String {
    let document = serde_json::to_string_pretty(&api::contract::document()).expect("the contract is JSON");
    document + "\n"
}

#[cfg(test)]
mod study_docs_tests;
#[cfg(test)]
mod study_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    #[test]
    fn the_committed_contract_is_that_of_the_code() {
        let committed =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json")).unwrap_or_default();
        assert!(committed == text(), "openapi/openapi.json is not what the code says; run `make openapi`");
    }

    #[test]
    fn every_operation_has_a_summary_and_every_field_a_description() {
        let document: Json = serde_json::from_str(&text()).unwrap();
        let mut lacking = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if operation["summary"].as_str().is_none_or(str::is_empty) {
                    lacking.push(format!("{method} {path}: a summary"));
                }
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    if parameter["description"].as_str().is_none_or(str::is_empty) {
                        lacking.push(format!("{method} {path}: a description of {}", parameter["name"]));
                    }
                }
                let errors = operation["responses"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .filter(|status| status.starts_with(['4', '5']))
                    .count();
                if errors == 0 && path != "/livez" {
                    lacking.push(format!("{method} {path}: its errors"));
                }
            }
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            describe(name, schema, &mut lacking);
        }
        assert!(lacking.is_empty(), "{lacking:#?}");
    }

    /// Every property below `schema` needs a description, its own or that of what it refers to.
    fn describe(place: &str, schema: &Json, lacking: &mut Vec<String>) {
        match schema {
            Json::Object(members) => {
                for (name, property) in
                    members.get("properties").and_then(Json::as_object).into_iter().flatten()
                {
                    let refers = property.get("$ref").is_some()
                        || ["oneOf", "allOf", "anyOf"].iter().any(|key| property.get(key).is_some());
                    if property["description"].as_str().is_none_or(str::is_empty) && !refers {
                        lacking.push(format!("{place}/{name}: a description"));
                    }
                }
                members
                    .iter()
                    .for_each(|(name, member)| describe(&format!("{place}/{name}"), member, lacking));
            }
            Json::Array(items) => items.iter().for_each(|item| describe(place, item, lacking)),
            _ => {}
        }
    }
}
