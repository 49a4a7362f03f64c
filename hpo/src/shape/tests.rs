use serde_json::{Value as Json, json};

use super::*;
