//! Simulated devices, whose truth is known: how often the analysis finds it.
//!
//! Time is virtual: a device computes iterations of some seconds at a rate that follows its curve, times
//! noise, and the analysis gets what a soak would note down. With few seeds this is a test; with
//! `SLMBENCH_SOAK_SEEDS=200` and `--nocapture`, as `scripts/soak-table` runs it, it prints the tables of
//! `docs/soak-analysis.md`.
//!
//! Where noise is so large that no method could do what is asked, the table says so: beside a share
//! stands the one that the Cramér–Rao bound allows an unbiased estimate, for white noise.

mod device;
mod outcome;
mod table;

use device::{Around, Curve, Device};
use outcome::{bounds, simulate, within};
use table::{FALLS_HEAD, FLATS_HEAD, falls_row, flats_row, print_table};

fn seeds() -> usize {
    std::env::var("SLMBENCH_SOAK_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(30)
}

/// What nine in ten come to where there are too few seeds to tell 0.9 from 0.85.
fn nine_in_ten(seeds: usize) -> f64 {
    if seeds < 200 { 0.8 } else { 0.9 }
}

fn white(white: f64) -> Around {
    Around { white, wander: 0.0, phi: 0.0 }
}

fn wander(wander: f64, phi: f64) -> Around {
    Around { white: 0.0, wander, phi }
}

/// Twenty minutes of iterations of three seconds.
fn device(curve: Curve, around: Around) -> Device {
    Device { curve, around, seconds: 1200.0, iteration_s: (2.0, 4.0), window_s: 10.0 }
}

fn fall(drop: f64, t_on: f64, tau: f64) -> Curve {
    Curve::Fall { drop, t_on, tau }
}

fn switching(drop: f64, t_on: f64, period: f64) -> Curve {
    Curve::Switching { drop, t_on, period }
}

/// White noise of windows that iterations of three seconds with 3 % make.
const THREE_PERCENT_OF_ITERATIONS: f64 = 0.0164;

fn twelve() -> [Curve; 12] {
    [
        fall(0.50, 60.0, 0.0),
        fall(0.20, 300.0, 0.0),
        fall(0.50, 30.0, 200.0),
        fall(0.35, 90.0, 120.0),
        fall(0.30, 60.0, 400.0),
        fall(0.30, 120.0, 60.0),
        fall(0.20, 300.0, 120.0),
        fall(0.15, 600.0, 0.0),
        fall(0.10, 300.0, 90.0),
        fall(0.05, 120.0, 60.0),
        switching(0.20, 240.0, 80.0),
        switching(0.30, 60.0, 120.0),
    ]
}

/// Six more that were looked at while the rules were made, most of them harder: shown, so that the
/// twelve are no choice of what came out well.
fn six_more() -> [Curve; 6] {
    [
        fall(0.50, 600.0, 45.0),
        fall(0.20, 120.0, 60.0),
        fall(0.20, 120.0, 240.0),
        fall(0.10, 120.0, 120.0),
        fall(0.05, 300.0, 0.0),
        switching(0.10, 120.0, 60.0),
    ]
}

/// Devices whose iterations are longer than a window, whose soak is short, that wander, or that live
/// in quarters of a second.
fn unusual() -> Vec<Device> {
    let long = |curve, around| Device { iteration_s: (20.0, 30.0), ..device(curve, around) };
    let short = |around| Device { seconds: 300.0, ..device(fall(0.3, 60.0, 60.0), around) };
    let fast = |curve| Device {
        seconds: 30.0,
        iteration_s: (0.05, 0.1),
        window_s: 0.25,
        ..device(curve, white(0.01))
    };
    vec![
        long(fall(0.3, 120.0, 60.0), white(0.01)),
        long(fall(0.3, 120.0, 60.0), white(0.03)),
        long(fall(0.3, 300.0, 0.0), white(0.03)),
        short(white(0.01)),
        short(white(0.03)),
        device(fall(0.35, 90.0, 120.0), wander(0.03, 0.9)),
        device(fall(0.35, 90.0, 120.0), wander(0.06, 0.9)),
        device(fall(0.5, 300.0, 0.0), wander(0.06, 0.97)),
        fast(fall(0.35, 5.0, 3.0)),
        fast(switching(0.2, 5.0, 2.0)),
    ]
}

fn flats() -> Vec<Device> {
    let mut flats: Vec<Device> = [
        white(0.01),
        white(0.03),
        wander(0.03, 0.9),
        wander(0.03, 0.97),
        wander(0.06, 0.7),
        wander(0.06, 0.9),
        wander(0.06, 0.97),
    ]
    .map(|around| device(Curve::Flat, around))
    .to_vec();
    for around in [white(0.01), white(0.03)] {
        flats.push(Device { seconds: 300.0, ..device(Curve::Flat, around) });
        flats.push(Device { iteration_s: (20.0, 30.0), ..device(Curve::Flat, around) });
    }
    flats
}

/// Flat devices that are called slow more often than once in a hundred, for the table: short soaks
/// that wander, and wander under white noise.
fn hard_flats() -> Vec<Device> {
    let both = |wander| Around { white: 0.03, wander, phi: 0.9 };
    vec![
        Device { seconds: 300.0, ..device(Curve::Flat, wander(0.06, 0.9)) },
        Device { seconds: 300.0, ..device(Curve::Flat, wander(0.06, 0.97)) },
        device(Curve::Flat, both(0.03)),
        device(Curve::Flat, both(0.06)),
        device(Curve::Flat, Around { phi: 0.97, ..both(0.06) }),
        device(Curve::Flat, wander(0.06, 0.99)),
    ]
}

#[test]
fn slowdowns_are_found_and_named_as_well_as_their_noise_allows() {
    let (seeds, mut rows) = (seeds(), Vec::new());
    let enough = nine_in_ten(seeds);
    let mut wrong = Vec::new();
    for curve in twelve() {
        for noise in [0.01, THREE_PERCENT_OF_ITERATIONS, 0.03] {
            let device = device(curve, white(noise));
            let outcome = simulate(&device, seeds);
            let row = falls_row(&device, &outcome);
            let (onset_bound, tau_bound) = bounds(&device).unwrap_or((1.0, 1.0));
            let mut holds = |what: &str, share: Option<f64>| {
                if share.is_some_and(|share| share < enough) {
                    wrong.push(format!("{what}: {}", row.join(" | ")));
                }
            };
            holds("found", Some(outcome.found()));
            holds("steady", within(&outcome.steady_off, 0.03));
            let drop = match curve {
                Curve::Fall { drop, .. } | Curve::Switching { drop, .. } => drop,
                Curve::Flat => 0.0,
            };
            if drop >= 0.15 {
                holds("named", Some(outcome.named(curve)));
            }
            if drop >= 0.2 {
                // The limit lets out rows that fall short: `docs/soak-analysis.md` has them.
                if onset_bound > 0.94 {
                    holds("onset", within(&outcome.onset_off, 20.0));
                }
                if tau_bound > 0.94 {
                    holds("τ", within(&outcome.tau_off, 0.25));
                }
            } else if onset_bound > 0.6 {
                let half_of_them = within(&outcome.onset_off, 30.0).is_some_and(|s| s > 0.5);
                holds("onset", Some(f64::from(half_of_them)));
            }
            rows.push(row);
        }
    }
    print_table(&FALLS_HEAD, &rows);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn unusual_soaks_are_understood_too() {
    let (seeds, mut rows) = (seeds(), Vec::new());
    for curve in six_more() {
        for noise in [0.01, THREE_PERCENT_OF_ITERATIONS, 0.03] {
            let device = device(curve, white(noise));
            let outcome = simulate(&device, seeds);
            rows.push(falls_row(&device, &outcome));
            assert!(outcome.found() >= nine_in_ten(seeds) - 0.05, "{rows:?}");
        }
    }
    print_table(&FALLS_HEAD, &rows);
    rows.clear();
    for device in unusual() {
        let outcome = simulate(&device, seeds);
        rows.push(falls_row(&device, &outcome));
        if device.around.white == 0.01 {
            assert!(outcome.named(device.curve) >= nine_in_ten(seeds), "{rows:?}");
        }
    }
    print_table(&FALLS_HEAD, &rows);
}

#[test]
fn a_device_that_becomes_several_times_slower_is_understood() {
    let (seeds, mut rows) = (seeds(), Vec::new());
    for (drop, t_on) in [(0.75, 90.0), (0.75, 700.0), (0.75, 900.0), (0.9, 90.0), (0.9, 900.0)] {
        for noise in [0.01, 0.03] {
            let device = device(fall(drop, t_on, 0.0), white(noise));
            let outcome = simulate(&device, seeds);
            let row = falls_row(&device, &outcome);
            assert_eq!(outcome.slowdown, seeds, "{row:?}");
            assert!(within(&outcome.steady_off, 0.05) >= Some(0.9), "{row:?}");
            assert!(within(&outcome.onset_off, 20.0) >= Some(0.9), "{row:?}");
            rows.push(row);
        }
    }
    print_table(&FALLS_HEAD, &rows);
}

#[test]
fn a_flat_device_is_seldom_called_slow_however_it_wanders() {
    let seeds = seeds();
    let judge = |devices: Vec<Device>| -> Vec<(usize, Vec<String>)> {
        let of = |device: &Device| {
            let outcome = simulate(device, seeds);
            (outcome.slowdown, flats_row(device, &outcome))
        };
        devices.iter().map(of).collect()
    };
    let (flats, hard) = (judge(flats()), judge(hard_flats()));
    let rows: Vec<Vec<String>> = flats.iter().chain(&hard).map(|(_, row)| row.clone()).collect();
    print_table(&FLATS_HEAD, &rows);
    for (slowdowns, row) in flats {
        assert!(slowdowns <= (seeds / 100).max(1), "{row:?}");
    }
}
