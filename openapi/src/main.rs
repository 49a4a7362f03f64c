//! Writes `openapi/openapi.json`.

fn main() -> anyhow::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    std::fs::write(path, openapi::text())?;
    println!("wrote openapi/openapi.json");
    Ok(())
}
