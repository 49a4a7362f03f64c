use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use super::*;

type Numbers = Arc<Readings<u32, u32>>;

fn readings() -> Numbers {
    Readings::new(|| 1_000)
}

/// Starts a reading of `key` that takes its turn, asks again and again, and ends with `key`
/// when it is told to.
fn held(
    readings: &Numbers,
    key: u32,
    caller_left: &Arc<AtomicBool>,
) -> (mpsc::Sender<()>, thread::JoinHandle<Result<u32, Error>>) {
    let (end, ends) = mpsc::channel::<()>();
    let (begin, begins) = mpsc::channel::<()>();
    let (readings, left) = (Arc::clone(readings), Arc::clone(caller_left));
    let caller = thread::spawn(move || {
        let has_left = || left.load(Ordering::SeqCst);
        readings.ask(&key, "slow.csv", Caller { seconds_max: 60, has_left: &has_left }, move |reading| {
            begin.send(()).unwrap();
            while ends.recv_timeout(Duration::from_millis(1)).is_err() {
                reading.check()?;
            }
            Ok(key)
        })
    });
    begins.recv().unwrap();
    (end, caller)
}

fn stays() -> Arc<AtomicBool> {
    Arc::default()
}

#[test]
fn different_datasets_are_read_side_by_side_and_the_same_one_once() {
    let readings = readings();
    let (end, slow) = held(&readings, 1, &stays());
    assert_eq!(
        readings.ask(&2, "b.csv", Caller::patient(60), |_| Ok(2)).unwrap(),
        2,
        "different readings do not wait for each other"
    );
    let (asks, both) = (Arc::clone(&readings), Arc::new(Barrier::new(2)));
    let barrier = Arc::clone(&both);
    let second = thread::spawn(move || {
        barrier.wait();
        asks.ask(&1, "slow.csv", Caller::patient(60), |_| panic!("it is under way already"))
    });
    both.wait();
    while readings.state.lock().unwrap().jobs[&1].callers.load(Ordering::Relaxed) < 2 {
        thread::yield_now();
    }
    end.send(()).unwrap();
    assert_eq!((slow.join().unwrap().unwrap(), second.join().unwrap().unwrap()), (1, 1));
    assert_eq!(readings.ask(&1, "slow.csv", Caller::patient(60), |_| Ok(3)).unwrap(), 3, "nothing is kept");
}

#[test]
fn a_reading_that_nobody_waits_for_is_given_up() {
    let readings = readings();
    let (first, second) = (stays(), stays());
    let (end, caller) = held(&readings, 1, &first);
    let (asks, left) = (Arc::clone(&readings), Arc::clone(&second));
    let other = thread::spawn(move || {
        let has_left = || left.load(Ordering::SeqCst);
        asks.ask(&1, "slow.csv", Caller { seconds_max: 60, has_left: &has_left }, |_| {
            panic!("it is under way already")
        })
    });
    while readings.state.lock().unwrap().jobs[&1].callers.load(Ordering::Relaxed) < 2 {
        thread::yield_now();
    }
    first.store(true, Ordering::SeqCst);
    assert!(matches!(caller.join().unwrap(), Err(Error::Unwanted { .. })));
    assert_eq!(readings.state.lock().unwrap().at_work, 1, "one is still there");
    second.store(true, Ordering::SeqCst);
    assert!(matches!(other.join().unwrap(), Err(Error::Unwanted { .. })));
    let mut state = readings.state.lock().unwrap();
    while state.at_work > 0 {
        state = readings.changed.wait(state).unwrap();
    }
    assert!(state.jobs.is_empty() && end.send(()).is_err(), "the reader has ended by itself");
}

#[test]
fn a_few_are_read_at_once_and_the_next_waits_for_its_turn_or_says_so() {
    let readings = readings();
    let held: Vec<_> =
        (0..limits::DATASETS_READ_AT_ONCE as u32).map(|key| held(&readings, key, &stays())).collect();
    let busy = readings.ask(&99, "b.csv", Caller::patient(0), |_| Ok(99)).unwrap_err();
    assert!(matches!(&busy, Error::Busy { path, .. } if path == "b.csv"), "{busy}");
    let left = Caller { seconds_max: 60, has_left: &|| true };
    assert!(matches!(readings.ask(&98, "b.csv", left, |_| Ok(98)), Err(Error::Unwanted { .. })));
    let (asks, (free, is_free)) = (Arc::clone(&readings), mpsc::channel());
    let next = thread::spawn(move || {
        asks.ask(&97, "b.csv", Caller::patient(60), move |_| {
            is_free.recv().unwrap();
            Ok(97)
        })
    });
    for (end, _) in &held {
        end.send(()).unwrap();
    }
    for (key, (_, caller)) in held.into_iter().enumerate() {
        assert_eq!(caller.join().unwrap().unwrap(), key as u32);
    }
    free.send(()).unwrap();
    assert_eq!(next.join().unwrap().unwrap(), 97);
}

#[test]
fn no_more_callers_wait_than_there_are_threads() {
    let readings = readings();
    readings.state.lock().unwrap().waiting = limits::DATASET_CALLERS_MAX;
    assert!(matches!(readings.ask(&1, "a.csv", Caller::patient(60), |_| Ok(1)), Err(Error::Busy { .. })));
    readings.state.lock().unwrap().waiting -= 1;
    assert_eq!(readings.ask(&1, "a.csv", Caller::patient(60), |_| Ok(1)).unwrap(), 1);
}

#[test]
fn a_reading_ends_when_its_time_is_over() {
    let readings = readings();
    let slow =
        readings.ask(&1, "slow.csv", Caller::patient(0), |reading| reading.check().map(|()| 1)).unwrap_err();
    assert!(slow.to_string().starts_with("slow.csv: reading it takes longer than 0 s"), "{slow}");
}

#[test]
fn a_reader_that_panics_is_an_error_and_the_next_reading_works() {
    let readings = readings();
    let error = readings.ask(&1, "a.csv", Caller::patient(60), |_| panic!("planned")).unwrap_err();
    assert!(error.to_string().starts_with("a.csv: cannot be read because of a bug in the reader"), "{error}");
    assert_eq!(readings.ask(&1, "a.csv", Caller::patient(60), |_| Ok(1)).unwrap(), 1);
}

#[test]
fn one_dataset_at_a_time_is_read_in_the_background() {
    let readings = readings();
    let (end, ends) = mpsc::channel::<()>();
    let ended = readings.ask_in_background(&1, "slow.csv", Instant::now(), move |reading| {
        while ends.recv_timeout(Duration::from_millis(1)).is_err() {
            reading.check()?;
        }
        Ok(1)
    });
    assert!(ended.is_none(), "its time was over at once");
    let soon = Instant::now() + Duration::from_secs(60);
    assert!(readings.ask_in_background(&2, "b.csv", soon, |_| Ok(2)).is_none(), "one at a time");
    end.send(()).unwrap();
    assert_eq!(readings.ask_in_background(&1, "slow.csv", soon, |_| Ok(1)).unwrap().unwrap(), 1);
}

#[test]
fn memory_is_measured_anew_when_nothing_else_is_read() {
    let readings = readings();
    let taken = |bytes| move |reading: &Reading| Ok(u32::from(reading.room.take(bytes)));
    assert_eq!(readings.ask(&1, "a.csv", Caller::patient(60), taken(501)).unwrap(), 0);
    assert_eq!(readings.ask(&1, "a.csv", Caller::patient(60), taken(500)).unwrap(), 1);
    assert_eq!(
        readings.ask(&1, "a.csv", Caller::patient(60), taken(500)).unwrap(),
        1,
        "the first gave it back"
    );
}
