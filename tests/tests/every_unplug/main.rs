//! Every unplug, every fault, every cancel: the life of an interface, cut at each of its transfers and awaits.
//!
//! A life is bring-up, five frames and `down` on a device under the fault layer, on the virtual clock: 2,000 to 5,000
//! transfers by the chip, the same each time. After each cut: nothing hangs, nothing panics, every URB has come back
//! exactly once with its device's backend gone, and at the end of each batch of cuts a fresh device comes up on the
//! same kernel, which then shuts down with no task and no thread left.
//!
//! What is sampled: each chip's lives are cut at one transfer of every 48 (faults: of every 960, each kind), chosen by
//! a seed; `AIRLIFT_SWEEP=all` takes every transfer, `AIRLIFT_SWEEP_SEED=n` other ones. Every poll count is always
//! taken.

#[path = "../common/mod.rs"]
mod common;
mod life;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use airlift_emu::Model;
use airlift_hcd::{Fault, FaultTarget, Faults, TransferError, TransferType};
use airlift_wifi::Stage;
use core::time::Duration;
use life::{Batch, Cut, Outcome, life_length, sample, sweep};

/// Threads are counted, so one test runs at a time; each uses both cores.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> impl Drop {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn w6_unplugged_at_any_transfer_everything_ends_as_unplugged() {
    let _alone = alone();
    for &model in Model::ALL {
        let length = life_length(model);
        let cuts = sample(length.whole, 48, 1).into_iter().map(|k| (k, Fault::Unplug)).collect();
        sweep(model, cuts, move |batch: &mut Batch, (k, fault)| {
            let outcome = batch.live(Faults::new().at(k, fault), Cut::Never);
            match outcome {
                Outcome::Failed(error) => assert!(error.is_unplugged(), "{error}"),
                // Down with nothing there to be switched off is down.
                Outcome::Lived => assert!(k > length.up, "came up on a device that was gone"),
                Outcome::Dropped => unreachable!("nobody drops it"),
            }
            batch.assert_gone();
        });
    }
}

#[test]
fn w6_whatever_fails_at_any_transfer_is_survived_or_told_and_can_be_retried() {
    let _alone = alone();
    for &model in Model::ALL {
        let faults = [
            Fault::Fail(TransferError::Stall),
            Fault::Fail(TransferError::Protocol),
            Fault::Lose(TransferError::Protocol),
            Fault::Silence,
            Fault::Short(0),
            Fault::Overflow,
            Fault::Delay(Duration::from_millis(20)),
        ];
        let whole = life_length(model).whole;
        let cuts = faults.into_iter().zip(2..);
        let cuts =
            cuts.flat_map(|(fault, salt)| sample(whole, 960, salt).into_iter().map(move |k| (k, fault)));
        let told = AtomicU64::new(0);
        sweep(model, cuts.collect(), |batch, (k, fault)| {
            // A receive endpoint on which nobody answers is a quiet channel: nothing that a driver could tell.
            let hits = move |target: &FaultTarget| {
                target.number == k
                    && (fault != Fault::Silence || target.transfer_type == TransferType::Control)
            };
            match batch.live(Faults::new().when(hits, fault), Cut::Never) {
                Outcome::Lived => {}
                Outcome::Failed(error) => {
                    assert!(!matches!(fault, Fault::Delay(_)), "late is no failure: {error}");
                    assert!(!error.is_unplugged(), "{error}");
                    assert!(error.is_retryable() && error.hint().is_some(), "{error:?}");
                    told.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::Dropped => unreachable!("nobody drops it"),
            }
            batch.assert_lives_again();
        });
        // Errors were met, not only survived: five of the kinds leave nothing to go on with.
        assert!(told.into_inner() > 5 * whole / 960 / 2);
    }
}

/// A cell whose address did not arrive reads as the one before, and may make no sense: not the EFUSE is to blame.
#[test]
fn w6_a_write_that_fails_while_the_efuse_is_read_is_told_as_what_it_is() {
    let _alone = alone();
    let told = AtomicU64::new(0);
    sweep(Model::Rtl8812au, (900..980).collect(), |batch, k| {
        let faults = Faults::new().at(k, Fault::Fail(TransferError::Stall));
        if let Outcome::Failed(error) = batch.live(faults, Cut::Never) {
            assert!(error.is_retryable(), "{k}: {error:?}");
            told.fetch_add(u64::from(error.stage() == Stage::Efuse), Ordering::Relaxed);
        }
        batch.assert_lives_again();
    });
    assert!(told.into_inner() > 70, "these transfers read the EFUSE");
}

#[test]
fn a5_dropped_at_any_transfer_the_adapter_is_switched_off_and_comes_up_again() {
    let _alone = alone();
    for &model in Model::ALL {
        let cuts = sample(life_length(model).whole, 144, 20);
        sweep(model, cuts, |batch, k| {
            let outcome = batch.live(Faults::new(), Cut::AtTransfer(k));
            assert!(matches!(outcome, Outcome::Dropped | Outcome::Lived), "{outcome:?}");
            batch.assert_lives_again();
        });
    }
}

#[test]
fn a5_dropped_after_any_number_of_polls_the_adapter_is_switched_off_and_comes_up_again() {
    let _alone = alone();
    for &model in Model::ALL {
        let polls = life_length(model).polls;
        assert!(polls >= 4, "the life has awaits: {polls}");
        sweep(model, (0..=polls).collect(), |batch, n| {
            let outcome = batch.live(Faults::new(), Cut::AfterPolls(n));
            assert_eq!(matches!(outcome, Outcome::Lived), n == polls, "{outcome:?}");
            batch.assert_lives_again();
        });
    }
}

/// Unplugged while the bring-up that was dropped is still switching the chip off.
#[test]
fn w6_unplugged_after_a_drop_nothing_is_left() {
    let _alone = alone();
    for &model in Model::ALL {
        let length = life_length(model);
        let cuts = sample(length.up, 360, 30);
        sweep(model, cuts, |batch, k| {
            let faults = Faults::new().at(k + 10, Fault::Unplug);
            batch.live(faults, Cut::AtTransfer(k));
            batch.assert_gone();
        });
    }
}
