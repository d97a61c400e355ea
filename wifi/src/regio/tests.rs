use core::time::Duration;

use airlift_hcd::TransferError;
use airlift_regs::{bb, mac, sys};
use futures::executor::block_on;

use super::fake::{FakeBus, Op};
use super::{Io, Regs};
use crate::chip::{Chip, ShadowPolicy};
use crate::error::{ErrorKind, Stage};

fn with(io: Io, policy: ShadowPolicy) -> (FakeBus, Regs) {
    let bus = FakeBus::new();
    (bus.clone(), Regs::new(bus, io, policy))
}

fn chip_policy() -> ShadowPolicy {
    Chip::Rtl8812au.info().shadow
}

#[test]
fn a_field_of_a_host_only_register_is_written_without_reading_it_again() {
    let (bus, regs) = with(Io::Posted, chip_policy());
    bus.poke(bb::CLKTRK.addr(), &0xe000_0001_u32.to_le_bytes());
    block_on(async {
        regs.set_field(bb::CLKTRK, 0x1ffe_0000, 0x96a).await.unwrap();
        regs.set_field(bb::CLKTRK, 0x1ffe_0000, 0x412).await.unwrap();
        regs.barrier().await.unwrap();
    });
    let reads = bus.take_log().into_iter().filter(|op| matches!(op, Op::Read(..))).count();
    assert_eq!(reads, 1);
    assert_eq!(bus.peek(bb::CLKTRK.addr()), 0xe000_0001 | 0x412 << 17);
}

#[test]
fn w6_after_a_failed_write_nothing_is_answered_from_the_shadow() {
    for io in [Io::Posted, Io::Serial] {
        let (bus, regs) = with(io, chip_policy());
        bus.poke(bb::CLKTRK.addr(), &0x0000_0001_u32.to_le_bytes());
        bus.fail(bb::CLKTRK.addr(), TransferError::Stall);
        block_on(async {
            let _ = regs.write(bb::CLKTRK, 0xffff_ffff).await;
            let _ = regs.barrier().await;
            bus.heal(bb::CLKTRK.addr());
            regs.set_field(bb::CLKTRK, 0xff00_0000, 0x12).await.unwrap();
            regs.barrier().await.unwrap();
        });
        assert_eq!(bus.peek(bb::CLKTRK.addr()), 0x1200_0001, "{io:?}");
    }
}

#[test]
fn a_field_of_any_other_register_is_read_from_the_chip_each_time() {
    let (bus, regs) = with(Io::Posted, chip_policy());
    block_on(async {
        regs.set_bits(mac::CR, 1).await.unwrap();
        bus.poke(mac::CR.addr(), &[0x80]);
        regs.set_bits(mac::CR, 2).await.unwrap();
    });
    assert_eq!(bus.peek(mac::CR.addr()), 0x82, "the bit that changed behind the driver's back stays");
}

/// The registers that no shadow may answer, whatever a chip's list says.
#[test]
fn no_register_that_the_chip_changes_is_host_only() {
    let policy = chip_policy();
    let never = [0x04..=0x07, 0x30..=0x33, 0x80..=0x83, 0x100..=0x103, 0x1cc..=0x1cc, 0x1e0..=0x1e3]
        .into_iter()
        .chain([
            0x1208..=0x120b,
            0x560..=0x567,
            0xd04..=0xd0b,
            0xd44..=0xd4b,
            0x000..=0x7ff,
            0x1000..=0xffff,
        ]);
    for range in never {
        for addr in range {
            assert!(!policy.is_host_only(addr), "{addr:#06x}");
        }
    }
}

/// How a register's bits are changed with the others kept.
#[derive(Clone, Copy, Debug)]
enum Update {
    Set,
    Clear,
    Field,
    Byte,
}

async fn update<T: airlift_regs::Width>(regs: &Regs, addr: u16, how: Update) {
    let reg = airlift_regs::Reg::<T>::new(addr);
    let low = T::truncate(1);
    match how {
        Update::Set => regs.set_bits(reg, low).await,
        Update::Clear => regs.clear_bits(reg, low).await,
        Update::Field => regs.set_field(reg, low, T::truncate(0)).await,
        Update::Byte => regs.update_bytes(&[(addr, 1, 0)]).await,
    }
    .unwrap();
}

/// Changes `addr` twice (the first time as a whole, if `whole`), with all other bits of it changing behind the
/// driver's back in between. Whether those survived, and how often the register was read after the first time.
fn changed_in_between<T: airlift_regs::Width>(
    bus: &FakeBus,
    regs: &Regs,
    addr: u16,
    how: Update,
    whole: bool,
) -> (bool, usize) {
    let width = usize::from(T::BYTES);
    bus.poke(addr, &[0x5a; 4][..width]);
    regs.forget();
    if whole {
        block_on(regs.write_at(addr, T::truncate(0x5a5a_5a5a))).unwrap();
    } else {
        block_on(update::<T>(regs, addr, how));
    }
    bus.poke(addr, &[0xa5; 4][..width]);
    bus.take_log();
    block_on(update::<T>(regs, addr, how));
    let reads = bus.take_log().into_iter().filter(|op| matches!(op, Op::Read(..))).count();
    // The lowest bit is the one that the driver changes.
    let now = bus.peek(addr).to_le_bytes();
    let kept = now[..width]
        .iter()
        .enumerate()
        .map(|(n, byte)| if n == 0 { byte | 1 } else { *byte })
        .all(|byte| byte == 0xa5);
    (kept, reads)
}

/// Every address, every width, every way to change a part of a register: what changes behind the driver's back stays
/// changed, unless the policy says that nobody but the host changes the register. Then, and only then, it is not
/// read again.
#[test]
fn every_register_that_is_not_host_only_is_read_again_each_time() {
    let policy = chip_policy();
    for (io, step) in [(Io::Posted, 1), (Io::Serial, 7)] {
        let (bus, regs) = with(io, policy);
        for addr in (0..=u16::MAX).step_by(step) {
            for width in [1, 2, 4] {
                // Each way at every fourth address, so that each meets every register block.
                let how = [Update::Set, Update::Clear, Update::Field, Update::Byte];
                let how = how[(usize::from(addr) + width / 2) % 4];
                let whole = addr & 4 != 0;
                if width > 1 && matches!(how, Update::Byte) {
                    continue;
                }
                if usize::from(addr) + width > 0x1_0000 {
                    continue;
                }
                let (kept, reads) = match width {
                    1 => changed_in_between::<u8>(&bus, &regs, addr, how, whole),
                    2 => changed_in_between::<u16>(&bus, &regs, addr, how, whole),
                    _ => changed_in_between::<u32>(&bus, &regs, addr, how, whole),
                };
                let host_only = (addr..=u16::MAX).take(width).all(|at| policy.is_host_only(at));
                // Whole bytes of a batch are asked for in any case.
                let shadowed = host_only && !matches!(how, Update::Byte);
                assert_eq!((kept, reads), (!shadowed, usize::from(!shadowed)), "{addr:#06x} {width} {how:?}");
            }
        }
    }
}

#[test]
fn a_wait_is_a_transfer_that_is_submitted_when_all_before_it_have_ended() {
    let (bus, regs) = with(Io::Posted, ShadowPolicy::NONE);
    let counts = || (regs.counts().transfers, regs.counts().reads, regs.counts().waits);
    block_on(async {
        // Posted behind each other: the first one alone found the bus idle.
        for n in 0..10 {
            regs.write_at::<u8>(0x600 + n, 1).await.unwrap();
        }
        assert_eq!(counts(), (10, 0, 1));
        // A read behind them is awaited; what follows starts anew.
        regs.read_at::<u8>(0x600).await.unwrap();
        assert_eq!(counts(), (11, 1, 1));
        regs.set_bits(mac::CR, 1).await.unwrap();
        assert_eq!(counts(), (13, 2, 3), "the read, and the write that needed what it told");
        regs.barrier().await.unwrap();
        regs.barrier().await.unwrap();
        assert_eq!(counts(), (13, 2, 3), "a barrier is no transfer");
        // Of two reads that are on their way together the first is awaited: the second still is under way.
        let first = regs.start_read(mac::CR).await.unwrap();
        let second = regs.start_read(mac::RCR).await.unwrap();
        first.value().await.unwrap();
        regs.write(mac::RCR, 0).await.unwrap();
        assert_eq!(counts(), (16, 4, 4));
        second.value().await.unwrap();
    });
    drop(bus);
    let (_bus, regs) = with(Io::Serial, ShadowPolicy::NONE);
    block_on(async {
        regs.write(mac::RCR, 0).await.unwrap();
        regs.set_bits(mac::CR, 1).await.unwrap();
    });
    assert_eq!((regs.counts().transfers, regs.counts().waits), (3, 3), "one at a time");
}

#[test]
fn while_another_page_shows_nothing_comes_from_the_shadow() {
    let (bus, regs) = with(Io::Posted, chip_policy());
    block_on(async {
        regs.write(bb::TXSCALE_A, 0x1234_5678).await.unwrap();
        regs.bypass_shadow(true);
        bus.poke(bb::TXSCALE_A.addr(), &[1, 0, 0, 0]);
        regs.set_bits(bb::TXSCALE_A, 2).await.unwrap();
        assert_eq!(bus.peek(bb::TXSCALE_A.addr()), 3);
        regs.bypass_shadow(false);
        bus.poke(bb::TXSCALE_A.addr(), &[0x10, 0, 0, 0]);
        regs.set_bits(bb::TXSCALE_A, 1).await.unwrap();
    });
    assert_eq!(bus.peek(bb::TXSCALE_A.addr()), 0x11);
}

#[test]
fn a_posted_write_that_fails_surfaces_at_the_barrier_by_name() {
    let (bus, regs) = with(Io::Posted, ShadowPolicy::NONE);
    bus.fail(mac::RCR.addr(), TransferError::Stall);
    regs.enter(Stage::Receive);
    block_on(async {
        regs.write(mac::RCR, 1).await.unwrap();
        regs.write(mac::ACKTO, 1).await.unwrap();
        let error = regs.barrier().await.unwrap_err();
        assert_eq!(error.stage(), Stage::Receive);
        assert!(matches!(error.kind(), ErrorKind::Transfer { source: TransferError::Stall, .. }));
        assert!(error.to_string().contains("writing RCR"), "{error}");
        regs.barrier().await.expect("told once");
    });
}

#[test]
fn a_failure_among_many_posted_writes_is_never_lost() {
    for failing in 0..40_u16 {
        let (bus, regs) = with(Io::Posted, ShadowPolicy::NONE);
        bus.fail(0x600 + failing, TransferError::Protocol);
        let result = block_on(async {
            for n in 0..40 {
                regs.write_at::<u8>(0x600 + n, 1).await?;
            }
            regs.barrier().await
        });
        assert!(result.is_err(), "write {failing}");
    }
}

#[test]
fn serial_io_waits_for_each_write_and_tells_its_failure_at_once() {
    let (bus, regs) = with(Io::Serial, ShadowPolicy::NONE);
    bus.fail(sys::RSV_CTRL.addr(), TransferError::Timeout);
    assert!(block_on(regs.write(sys::RSV_CTRL, 0)).is_err());
}

#[test]
fn a_delay_follows_the_writes_before_it() {
    let (bus, regs) = with(Io::Posted, ShadowPolicy::NONE);
    block_on(async {
        regs.write(sys::RSV_CTRL, 1).await.unwrap();
        regs.delay(Duration::from_millis(2)).await.unwrap();
    });
    let expected = [Op::Write(0x1c, vec![1]), Op::Flush, Op::Sleep(Duration::from_millis(2))];
    assert_eq!(bus.take_log(), expected);
}

#[test]
fn w6_a_poll_that_never_succeeds_says_what_was_expected() {
    let (bus, regs) = with(Io::Posted, ShadowPolicy::NONE);
    bus.poke(sys::MCUFW_CTRL.addr(), &[0xc2]);
    let (every, most) = (Duration::from_millis(20), Duration::from_millis(200));
    let error = block_on(regs.poll(sys::MCUFW_CTRL, 0x40_u32 | 4, 0x44, every, most, "mcu up")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("MCUFW_CTRL") && text.contains("mcu up") && text.contains("0xc2"), "{text}");
    let sleeps = bus.take_log().into_iter().filter(|op| matches!(op, Op::Sleep(_))).count();
    assert_eq!(sleeps, 10);
}

#[test]
fn a_value_goes_into_its_field_and_no_further() {
    let (bus, regs) = with(Io::Posted, ShadowPolicy::NONE);
    bus.poke(mac::CR.addr(), &[0xff; 4]);
    block_on(regs.set_field(mac::CR, 0x0003_0000, 0xfe)).unwrap();
    assert_eq!(bus.peek(mac::CR.addr()), 0xfffe_ffff);
}
