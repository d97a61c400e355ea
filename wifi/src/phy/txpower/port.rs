//! The TXAGC port: path, rate and index in one word. The table behind it is written by the host alone, so that only
//! what has changed needs to go through.
//!
//! Facts: rtw88 `rtw8814a.c`, `rtw8814a_set_tx_power_index`, `rtw8814a_set_tx_power_index_by_rate`.

use airlift_regs::bb;

use super::rates::{self, Section};
use super::{Phy, TxPower};
use crate::channel::{Band, Channel};
use crate::error::Error;

/// Paths that the port has tables for.
const PATHS: usize = 4;
/// What every word has set.
const WORD: u32 = 0x0080_1000;
/// 1 Mb/s. The first word for it turns the table on, the second one counts.
const FIRST_RATE: u8 = 0;

/// The index of each rate on each path as the port was told, where it was.
#[derive(Clone, Debug)]
pub(super) struct Held([[Option<u8>; rates::COUNT]; PATHS]);

impl Default for Held {
    fn default() -> Self {
        Self([[None; rates::COUNT]; PATHS])
    }
}

fn word(path: usize, rate: u8, index: u8) -> u32 {
    WORD | u32::from(index) << 24 | (path as u32) << 8 | u32::from(rate)
}

impl TxPower {
    /// The words that give `path` its power for `channel`, of those rates whose index is another than what is held,
    /// which they are from then on.
    fn words(&mut self, path: usize, channel: Channel, raise: u8) -> Vec<u32> {
        let mut words = Vec::new();
        for section in Section::UP_TO_THREE_STREAMS {
            if section == Section::Cck && channel.band() == Band::Ghz5 {
                continue;
            }
            for rate in section.rates() {
                let index = self.index(path, rate, channel).saturating_add(raise).min(self.max_index as u8);
                let Some(held) = self.held.0.get_mut(path).and_then(|rates| rates.get_mut(usize::from(rate)))
                else {
                    continue;
                };
                if held.replace(index) == Some(index) {
                    continue;
                }
                words.push(word(path, rate, index));
                if rate == FIRST_RATE {
                    words.push(word(path, rate, index));
                }
            }
        }
        words
    }
}

impl Phy {
    /// Tells the port the power of every path and rate that it does not hold already.
    pub(super) async fn write_power_port(&self, channel: Channel, raise: u8) -> Result<(), Error> {
        for path in self.paths() {
            let words = self.power.borrow_mut().words(path.index(), channel, raise);
            for word in words {
                self.regs.write(bb::AGC_TBL, word).await?;
            }
        }
        Ok(())
    }
}
