//! Tuning: band, synthesizer, width and filters of a channel, then its transmit power.
//!
//! Facts: rtw88 `main.c`, `rtw_set_channel`, `rtw_update_channel`; `rtw88xxa.c`, `rtw88xxa_set_channel`,
//! `rtw88xxa_switch_channel`, `rtw88xxa_post_set_bw_mode`, `rtw88xxa_set_channel_rf`.

use airlift_regs::bits::wmac_trxptcl_ctl;
use airlift_regs::{bb, mac, rf};

use super::Phy;
use super::info::FieldWrite;
use crate::channel::{Channel, Width};
use crate::error::{Error, ErrorKind, Stage};

/// Fields of the RF register CFGCH.
pub(super) mod cfgch {
    /// Sub-band: which synthesizer divider and mixer serve the channel.
    pub(in crate::phy) const BAND: u32 = 0x7_0300;
    /// Centre channel.
    pub(in crate::phy) const CHANNEL: u32 = 0xff;
    /// Width of the analog filter: 3 is 20 MHz, 1 is 40 MHz, 0 is 80 MHz.
    pub(in crate::phy) const WIDTH: u32 = 0xc00;
}

/// Where the primary channel lies inside the whole: 20 MHz in the low nibble, 40 MHz in the high one.
///
/// rtw88 `main.h`, `enum rtw_sc_offset`.
pub(super) fn subchannel(channel: Channel) -> u8 {
    const UPPER: u8 = 1;
    const LOWER: u8 = 2;
    const UPMOST: u8 = 3;
    const LOWEST: u8 = 4;
    const UPPER_40: u8 = 9;
    const LOWER_40: u8 = 10;
    let above = channel.primary() > channel.center();
    let distance = channel.primary().abs_diff(channel.center());
    match channel.width() {
        Width::Mhz20 => 0,
        Width::Mhz40 if above => UPPER,
        Width::Mhz40 => LOWER,
        Width::Mhz80 => match (above, distance) {
            (true, 2) => UPPER_40 << 4 | UPPER,
            (true, _) => UPPER_40 << 4 | UPMOST,
            (false, 2) => LOWER_40 << 4 | LOWER,
            (false, _) => LOWER_40 << 4 | LOWEST,
        },
    }
}

/// Reference of the clock tracking loop, by centre channel.
pub(super) fn clock_tracking(center: u8) -> u32 {
    match center {
        36..=48 => 0x494,
        50..=64 => 0x453,
        100..=116 => 0x452,
        118.. => 0x412,
        _ => 0x96a,
    }
}

/// Value of [`cfgch::BAND`], by centre channel.
pub(super) fn sub_band(center: u8) -> u32 {
    match center {
        36..=64 => 0x101,
        100..=140 => 0x301,
        141.. => 0x501,
        _ => 0x000,
    }
}

/// Value of [`cfgch::WIDTH`].
pub(super) fn filter(width: Width) -> u32 {
    match width {
        Width::Mhz20 => 3,
        Width::Mhz40 => 1,
        Width::Mhz80 => 0,
    }
}

/// Converter clocks, detection threshold and sub-channel of a width. `early` says that the board's packet
/// detection starts early (bit 26 of BWINDICATION).
fn width_writes(channel: Channel, two_paths: bool, early: bool) -> Vec<FieldWrite> {
    let field = FieldWrite::field;
    let subchannel = subchannel(channel);
    let (clocks, fast_adc, early_threshold, threshold) = match channel.width() {
        Width::Mhz20 => (0x0030_0200, 0, None, 7),
        Width::Mhz40 => (0x0030_0201, 0, Some(6), 7),
        Width::Mhz80 => (0x0030_0202, 1, Some(5), 6),
    };
    let mut writes = vec![field(bb::ADCCLK, 0x0030_03c3, clocks), field(bb::ADC160, 1 << 30, fast_adc)];
    if channel.width() != Width::Mhz20 {
        writes.push(field(bb::ADCCLK, 0x3c, u32::from(subchannel)));
        writes.push(field(bb::CCA2ND, 0xf000_0000, u32::from(subchannel)));
    }
    let threshold = match early_threshold {
        Some(value) if early => value,
        _ if two_paths => threshold,
        _ => threshold + 1,
    };
    writes.push(field(bb::L1PKTH, 0x03c0_0000, threshold));
    if let Some(side) = channel.side() {
        let above = u32::from(side == crate::channel::Side::Below);
        writes.push(field(bb::RXSB, 1 << 4, above));
    }
    writes
}

impl Phy {
    /// Tunes to `channel` and sets the transmit power for it. Everything is programmed, even if the radio is there
    /// already, unless the radio is on another channel of the same band: then only what differs is, with a look at what
    /// the radio's registers hold.
    ///
    /// Dropping the future leaves the radio between channels; the next call starts over.
    ///
    /// # Errors
    /// [`ErrorKind::Channel`] for a width that the adapter's EFUSE rules out; transfer errors.
    pub(crate) async fn set_channel(&self, channel: Channel) -> Result<(), Error> {
        self.synthesizers.set(Default::default());
        self.go_to(channel, true).await
    }

    /// The same without a look at the radio's registers where the last change of channel tells what they hold. Without
    /// power, which is then left to [`freshen_power`](Self::freshen_power), that takes a write a path within a sub-band and
    /// at one width; the chip must have no frame then, nor be given one.
    ///
    /// # Errors
    /// As [`set_channel`](Self::set_channel).
    pub(crate) async fn hop(&self, channel: Channel, with_power: bool) -> Result<(), Error> {
        self.go_to(channel, with_power).await
    }

    /// Whether a hop has left a power that is not the channel's: no frame may be given to the chip.
    pub(crate) fn power_is_stale(&self) -> bool {
        self.power_is_stale.get()
    }

    /// Sets the power that a hop has left out, if one has. After a failure it is still left out, and can be tried again:
    /// all that the hop itself wrote had arrived before.
    ///
    /// # Errors
    /// Transfer errors.
    pub(crate) async fn freshen_power(&self) -> Result<(), Error> {
        let Some(channel) = self.channel.get().filter(|_| self.power_is_stale.get()) else { return Ok(()) };
        let _stage = self.during(Stage::Channel);
        let set = async {
            self.change_tx_power(channel).await?;
            self.regs.barrier().await
        };
        let set = set.await;
        match set {
            Ok(()) => self.power_is_stale.set(false),
            Err(_) => {
                // Others that are still on their way belong to this, and so do their failures.
                let _ = self.regs.barrier().await;
                self.forget_power();
            }
        }
        set
    }

    async fn go_to(&self, channel: Channel, with_power: bool) -> Result<(), Error> {
        let _stage = self.during(Stage::Channel);
        if channel.width() == Width::Mhz80 && !self.board.allows_80_mhz {
            return Err(self.regs.error(ErrorKind::Channel(format!(
                "this adapter cannot do 80 MHz (channel {}; possible: 20 and 40 MHz)",
                channel.primary()
            ))));
        }
        let from = self.channel.replace(None);
        let tuned = self.tune(from, channel, with_power).await;
        self.arrive(channel, tuned, with_power).await
    }

    /// Keeps account of how a change of channel has ended, and whether it has set the power.
    async fn arrive(
        &self,
        channel: Channel,
        tuned: Result<(), Error>,
        with_power: bool,
    ) -> Result<(), Error> {
        match tuned {
            Ok(()) => {
                self.channel.set(Some(channel));
                self.power_is_stale.set(!with_power);
            }
            // A posted write that failed may have been one of the band's, or of the power's.
            Err(_) => {
                // Others that are still on their way belong to this change, and so do their failures.
                let _ = self.regs.barrier().await;
                self.band.set(None);
                self.power_is_stale.set(false);
                self.synthesizers.set(Default::default());
                self.forget_power();
                self.coex.forget();
            }
        }
        tuned
    }

    async fn tune(&self, from: Option<Channel>, to: Channel, with_power: bool) -> Result<(), Error> {
        let near = from.filter(|from| *from != to && self.band.get() == Some(to.band()));
        match (near, self.info.procedures.retune) {
            (Some(from), Some(retune)) => {
                if with_power {
                    self.change_tx_power(to).await?;
                }
                retune(self, from, to).await?;
            }
            _ => {
                if self.band.get() != Some(to.band()) {
                    self.switch_band(to.band(), to.width()).await?;
                }
                (self.info.procedures.tune)(self, to).await?;
                self.coex.enter(to.band()).await?;
                if with_power {
                    self.write_tx_power(to).await?;
                }
            }
        }
        self.regs.barrier().await
    }

    /// Changes what must change between two channels of one band on the chips with one or two paths. Mainline writes the
    /// three fields of CFGCH one after the other, with other fields set in between; here they are one word.
    pub(super) async fn retune_88xxa(&self, from: Channel, to: Channel) -> Result<(), Error> {
        let mut writes = vec![FieldWrite::field(bb::CLKTRK, 0x1ffe_0000, clock_tracking(to.center()))];
        self.change_mac_width(from, to).await?;
        let early = self.regs.current(bb::BWINDICATION.byte(3)).await? & 1 << 2 != 0;
        writes.extend(width_writes(to, self.board.chains > 1, early));
        writes.extend(self.spur_writes(to));
        self.regs.apply_changes(&writes).await?;
        self.change_synthesizers(to).await
    }

    /// Sets the three fields of every path's CFGCH, where they are others.
    pub(super) async fn change_synthesizers(&self, to: Channel) -> Result<(), Error> {
        let fields = [
            (cfgch::BAND, sub_band(to.center())),
            (cfgch::CHANNEL, u32::from(to.center())),
            (cfgch::WIDTH, filter(to.width())),
        ];
        for path in self.paths() {
            let held = self.synthesizers.get()[path.index()];
            self.write_rf_fields(path, rf::CFGCH, held, &fields).await?;
        }
        Ok(())
    }

    /// Tells the MAC what of the width is another.
    pub(super) async fn change_mac_width(&self, from: Channel, to: Channel) -> Result<(), Error> {
        if from.width() != to.width() {
            self.set_mac_width(to).await
        } else if subchannel(from) != subchannel(to) {
            self.regs.write(mac::DATA_SC, subchannel(to)).await
        } else {
            Ok(())
        }
    }

    /// Sets channel and width on the chips with one or two paths.
    pub(super) async fn tune_88xxa(&self, channel: Channel) -> Result<(), Error> {
        self.tune_synthesizer(channel).await?;
        self.set_width(channel).await?;
        self.regs.apply(&self.spur_writes(channel)).await?;
        for path in self.paths() {
            self.write_rf(path, rf::CFGCH, cfgch::WIDTH, filter(channel.width())).await?;
        }
        Ok(())
    }

    fn spur_writes(&self, channel: Channel) -> Vec<FieldWrite> {
        (self.info.fix_spur)(self.board.cut, channel.center(), channel.width())
    }

    async fn tune_synthesizer(&self, channel: Channel) -> Result<(), Error> {
        let center = channel.center();
        self.regs.set_field(bb::CLKTRK, 0x1ffe_0000, clock_tracking(center)).await?;
        for path in self.paths() {
            self.write_rf(path, rf::CFGCH, cfgch::BAND, sub_band(center)).await?;
            self.regs.apply(&self.spur_writes(channel)).await?;
            self.write_rf(path, rf::CFGCH, cfgch::CHANNEL, u32::from(center)).await?;
        }
        Ok(())
    }

    async fn set_width(&self, channel: Channel) -> Result<(), Error> {
        self.set_mac_width(channel).await?;
        let early = self.regs.current(bb::BWINDICATION.byte(3)).await? & 1 << 2 != 0;
        self.regs.apply(&width_writes(channel, self.board.chains > 1, early)).await
    }

    /// Tells the MAC the width, and where the primary channel is.
    pub(super) async fn set_mac_width(&self, channel: Channel) -> Result<(), Error> {
        let regs = &self.regs;
        let modes = mac::WMAC_TRXPTCL_CTL.cast::<u16>(0);
        let mode = match channel.width() {
            Width::Mhz20 => 0,
            Width::Mhz40 => wmac_trxptcl_ctl::RFMOD_40M as u16,
            Width::Mhz80 => wmac_trxptcl_ctl::RFMOD_80M as u16,
        };
        let old = regs.read(modes).await?;
        regs.write(modes, old & !(wmac_trxptcl_ctl::RFMOD as u16) | mode).await?;
        regs.write(mac::DATA_SC, subchannel(channel)).await
    }
}
