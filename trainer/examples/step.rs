//! temporary
use candle_core::Device;
use serde_json::json;
use trainer::engine::{Model, Targets};
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn cpu() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}
fn main() {
    let d = |units: usize, a: &str| json!({"layer":"Dense","units":units,"activation":a});
    let cases = vec![
        ("mlp128 b32", json!([d(128, "relu"), d(10, "softmax")]), vec![784], 32usize, 2000),
        ("mlp128 b128", json!([d(128, "relu"), d(10, "softmax")]), vec![784], 128, 1000),
        ("mlp512 b32", json!([d(512, "relu"), d(10, "softmax")]), vec![784], 32, 500),
        ("mlp64 tanh b32", json!([d(64, "tanh"), d(10, "softmax")]), vec![64], 32, 5000),
        (
            "cnn1 b64",
            json!([{"layer":"Conv2D","filters":32,"kernel_size":3,"activation":"relu"},{"layer":"MaxPooling2D"},{"layer":"Flatten"},d(10,"softmax")]),
            vec![28, 28, 1],
            64,
            60,
        ),
        (
            "cnn2 b64",
            json!([{"layer":"Conv2D","filters":32,"kernel_size":3,"activation":"relu"},{"layer":"MaxPooling2D"},{"layer":"Conv2D","filters":64,"kernel_size":3,"activation":"relu"},{"layer":"MaxPooling2D"},{"layer":"Flatten"},d(128,"relu"),{"layer":"Dropout","rate":0.5},d(10,"softmax")]),
            vec![28, 28, 1],
            64,
            30,
        ),
    ];
    let only = std::env::args().nth(1);
    for (name, network, shape, batch, n) in cases {
        if only.as_ref().is_some_and(|o| !name.starts_with(o.as_str())) {
            continue;
        }
        let doc = json!({"name":"t","seed":1,"network":network,"training":{"optimizer":"adam","loss":"sparse_categorical_crossentropy"},"dataset":{"source":"builtin:digits"},"objective":{"metric":"loss"}});
        let plan = hpo::Study::parse(&doc).and_then(|s| s.plan(&hpo::Point::default())).unwrap();
        let mut model = Model::new(&plan.layers, &plan.training, &shape, Some(10), (1, 2), &Device::Cpu).unwrap();
        let width: usize = shape.iter().product();
        let x: Vec<f32> = (0..batch * width).map(|i| (i * 7919 % 1000) as f32 / 1000.0).collect();
        let y = Targets::Classes((0..batch as u32).map(|i| i % 10).collect());
        let mut best = f64::MAX;
        for _ in 0..7 {
            let t = cpu();
            for _ in 0..n {
                model.step(x.clone(), &y).unwrap();
            }
            best = best.min((cpu() - t) / n as f64 * 1e6);
        }
        println!("{name}: {best:.0} us/step");
    }
}
