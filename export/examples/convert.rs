//! `convert FOLDER`: writes each `NAME.safetensors` there as `NAME.onnx` and `NAME.keras` beside
//! it. What `make export-check` runs.

use std::path::Path;

use export::Model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("convert FOLDER")?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            convert(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

fn convert(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::read(&std::fs::read(path)?)?;
    std::fs::write(path.with_extension("onnx"), model.to_onnx()?)?;
    std::fs::write(path.with_extension("keras"), model.to_keras()?)?;
    Ok(())
}
