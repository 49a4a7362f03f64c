//! The store against a model of its queue: random histories with lost replies, stale trainers,
//! jumps of the clock and forgotten scripts. Every call is made twice, the audit of the stored
//! invariants runs after every step, and every trial is compared with the model's.

mod model;
mod world;

use proptest::prelude::*;
use tests::TestRedis;

use model::Limits;
use world::World;

/// One step of a history. A study, trial or lease is given by an index, taken modulo their number.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Create(Limits),
    TopUp(usize),
    Claim { trainer: usize, count: usize },
    ClaimAgain { trainer: usize },
    Report { lease: usize, epoch: u32 },
    Finish { lease: usize, end: usize },
    Cancel { study: usize, trial: usize },
    CancelStudy(usize),
    Pause(usize, bool),
    MaxTrials(usize, u64),
    MaxParallel(usize, u64),
    Delete(usize),
    Reap,
    Pass(u64),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let any = 0..64_usize;
    let trainer = 0..3_usize;
    prop_oneof![
        2 => (1..8_u64, 1..4_u64, 0..2_u32, 0..2_u32).prop_map(|(max_trials, max_parallel, max_failures, max_stalls)| Step::Create(Limits { max_trials, max_parallel, max_failures, max_stalls })),
        3 => any.clone().prop_map(Step::TopUp),
        10 => (trainer.clone(), 1..4_usize).prop_map(|(trainer, count)| Step::Claim { trainer, count }),
        2 => trainer.prop_map(|trainer| Step::ClaimAgain { trainer }),
        6 => (any.clone(), 1..6_u32).prop_map(|(lease, epoch)| Step::Report { lease, epoch }),
        10 => (any.clone(), any.clone()).prop_map(|(lease, end)| Step::Finish { lease, end }),
        2 => (any.clone(), any.clone()).prop_map(|(study, trial)| Step::Cancel { study, trial }),
        1 => any.clone().prop_map(Step::CancelStudy),
        2 => (any.clone(), proptest::bool::ANY).prop_map(|(study, paused)| Step::Pause(study, paused)),
        1 => (any.clone(), 1..10_u64).prop_map(|(study, n)| Step::MaxTrials(study, n)),
        1 => (any.clone(), 1..4_u64).prop_map(|(study, n)| Step::MaxParallel(study, n)),
        1 => any.prop_map(Step::Delete),
        4 => Just(Step::Reap),
        5 => prop_oneof![0..4_000_u64, 20_000..70_000_u64].prop_map(Step::Pass),
        1 => Just(Step::Flush),
    ]
}

#[test]
fn the_store_does_what_the_model_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = TestRedis::start_volatile();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(96);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..80))| {
        let outcome = runtime.block_on(played(&redis, &steps));
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    });
}

/// The outcome of a history in a new world.
async fn played(redis: &TestRedis, steps: &[Step]) -> Result<(), String> {
    let mut world = World::new(redis).await;
    for step in steps {
        world.take(step).await.map_err(|problem| format!("at {step:?}: {problem}"))?;
    }
    world.end().await
}

/// Found by a random history: a trainer that is silent for two minutes is forgotten, and its last
/// claim with it.
#[tokio::test]
async fn the_last_claim_of_a_forgotten_trainer_is_forgotten() {
    let study =
        |max_stalls| Step::Create(Limits { max_trials: 1, max_parallel: 1, max_failures: 0, max_stalls });
    let claim = Step::Claim { trainer: 2, count: 1 };
    let steps = [
        study(1),
        Step::TopUp(0),
        claim,
        Step::Pass(66_414),
        Step::Pass(53_586),
        Step::Reap,
        Step::ClaimAgain { trainer: 2 },
    ];
    assert_eq!(played(&TestRedis::start_volatile(), &steps).await, Ok(()));
}
