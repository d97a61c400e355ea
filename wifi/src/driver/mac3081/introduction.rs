//! What the firmware is told by packets once it runs: what it runs on.
//!
//! Facts: rtw88 `fw.c`, `rtw_fw_send_general_info`, `rtw_fw_send_phydm_info`; `fw.h` (their fields); `rtw8814a.c`,
//! `rtw8814a_read_rf_type`.

use airlift_hcd::Speed;

use super::packet::{Kind, PacketSink, packet};
use crate::chip::{Board, Mac3081};
use crate::error::{Error, ErrorKind};
use crate::regio::Regs;

/// Bytes of a command packet.
const COMMAND: usize = 32;
/// What all command packets begin with: their kind.
const HEADER: u32 = 0xff01;
/// Bytes of the header.
const HEADER_BYTES: u32 = 8;

/// The command `number`, the `sequence`th, with `length` bytes that `words` begin.
fn command(number: u32, sequence: u32, length: u32, words: u32) -> Vec<u8> {
    let mut data = vec![0; COMMAND];
    let header = [HEADER | number << 16, (HEADER_BYTES + length) | sequence << 16, words];
    for (place, word) in data.chunks_exact_mut(4).zip(header) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    packet(Kind::Command, &data)
}

/// Antennas that the board sends and receives with, one bit each, and the firmware's number for so many: three at super
/// speed where the board has them, else two.
fn antennas(board: &Board) -> (u32, u32) {
    match (board.efuse.antenna_option, board.speed) {
        (0xff | 0xee, Speed::Super) => (0b111, 0),
        _ => (0b011, 2),
    }
}

/// Tells the firmware where in the transmit buffer its own pages begin, and about the radio.
pub(in crate::driver) async fn introduce(
    regs: &Regs,
    sink: &dyn PacketSink,
    board: &Board,
    own: &Mac3081,
) -> Result<(), Error> {
    let own_pages = board.chip.tx_pages() - own.pages.firmware - board.chip.reserved_boundary();
    let (paths, radio) = antennas(board);
    let about_radio = u32::from(board.efuse.rfe_option)
        | radio << 8
        | u32::from(board.cut) << 16
        | paths << 24
        | paths << 28;
    let commands = [command(0x0d, 0, 4, u32::from(own_pages) << 16), command(0x11, 1, 8, about_radio)];
    regs.barrier().await?;
    for command in commands {
        sink.send(command).await.map_err(|source| {
            let operation = "sending a command to the firmware".to_owned();
            regs.error(ErrorKind::Transfer { operation, source })
        })?;
    }
    Ok(())
}
