//! Firmware into the 3081's memories, and the 3081 started.
//!
//! ```text
//!   page by bulk-out ──► transmit buffer, page 0 ──DDMA──► DMEM, then IMEM (each with its checksum) ──► reset ──► runs
//! ```
//!
//! The MCU cannot be written to by registers. A page travels like a beacon: software says in which page of the transmit
//! buffer the next one is to lie, sends it, and hears that it has arrived. A DMA engine then copies it to where it
//! belongs and sums it up.
//!
//! Facts: rtw88 `mac.c`, `__rtw_download_firmware` and what it calls; `fw.c`, `rtw_fw_write_data_rsvd_page`; `util.c`,
//! `check_hw_ready`. Mainline sets up the beacon queue anew for each page and puts it back after it; once around all of
//! them is enough, since nothing else happens meanwhile.

use core::time::Duration;

use airlift_regs::bits::{bcn_ctrl, cr, ddma_ch0ctrl as ddma, fifopage_ctrl_2, h2cq_csr, mcufw_ctrl as bit};
use airlift_regs::bits::{
    cpu_dmem_con, fw_dbg7, rqpn_ctrl_2, rsv_ctrl, sys_clk_ctrl, sys_func_en, txdma_status,
};
use airlift_regs::{mac, more, sys};

use super::packet::{DESCRIPTOR, Kind, PacketSink, packet};
use crate::error::{Error, ErrorKind};
use crate::firmware::Image;
use crate::regio::Regs;

/// The most that goes in one page.
const PAGE: usize = 0x1000;
/// Where the transmit buffer is in the MCU's address space.
const TRANSMIT_BUFFER: u32 = 0x1878_0000;
/// Addresses from here on are of the data memory.
const DATA_MEMORY: u32 = 0x0020_0000;
/// The high queue alone takes what is sent.
const HIGH_QUEUE: u8 = 3 << 6;
/// Pages that the high queue has meanwhile.
const HIGH_PAGES: u16 = 0x200;

/// 1,000 looks, 10 us apart.
const INTERVAL: Duration = Duration::from_micros(10);
const TIMEOUT: Duration = Duration::from_millis(10);

/// What MCUFW_CTRL must read once the firmware runs: everything is in and right, and it has started. The choice of the
/// MCU's clock is not looked at.
const READY: u16 = 0xc078;
const READY_MASK: u16 = 0xcfff;
/// What FW_DBG7 reads if the chip does not take the firmware's key.
const ILLEGAL_KEY: u32 = 0xfaaa_aa00;

/// Downloads `image` and starts it. `progress` hears of bytes taken so far.
pub(in crate::driver) async fn download(
    regs: &Regs,
    sink: &dyn PacketSink,
    image: &Image,
    progress: &dyn Fn(usize, usize),
) -> Result<(), Error> {
    let done = run(regs, sink, image, progress).await;
    if done.is_err() {
        // Download mode ends, and the MCU goes on with whatever it has.
        let _ = regs.clear_bits(sys::MCUFW_CTRL.byte(0), bit::MCUFWDL_EN as u8).await;
        let _ = regs.set_bits(sys::SYS_FUNC_EN.byte(1), sys_func_en::FEN_CPUEN as u8).await;
    }
    done
}

async fn run(
    regs: &Regs,
    sink: &dyn PacketSink,
    image: &Image,
    progress: &dyn Fn(usize, usize),
) -> Result<(), Error> {
    let (cpu, bus) = (sys::SYS_FUNC_EN.byte(1), sys::RSV_CTRL.byte(1));
    let (running, open) = (sys_func_en::FEN_CPUEN as u8, rsv_ctrl::WLMCU_IOIF as u8);
    regs.update_bytes(&[(cpu.addr(), running, 0), (bus.addr(), open, 0)]).await?;
    let borrowed = Borrowed::take(regs).await?;
    reset_platform(regs).await?;

    let control = sys::MCUFW_CTRL.cast::<u16>(0);
    let kept = regs.read(control).await? & 0x3800;
    regs.write(control, kept | bit::MCUFWDL_EN as u16).await?;
    let all: usize = image.sections().map(|(_, data)| data.len()).sum();
    let mut sent = 0;
    for (address, data) in image.sections() {
        regs.set_bits(more::DDMA_CH0CTRL, ddma::DDMACH0_RESET_CHKSUM_STS).await?;
        for (number, page) in data.chunks(PAGE).enumerate() {
            send_page(regs, sink, page).await?;
            copy(regs, address + (number * PAGE) as u32, page.len(), number == 0).await?;
            sent += page.len();
            progress(sent, all);
        }
        check_sum(regs, address).await?;
    }
    borrowed.put_back(regs).await?;

    regs.write(mac::TXDMA_STATUS, txdma_status::BTI_PAGE_OVF).await?;
    // Both sums are right, or it would have ended above.
    let held = u32::from(regs.read(control).await?);
    regs.write(control, ((held | bit::FW_DW_RDY) & !bit::MCUFWDL_EN) as u16).await?;
    regs.update_bytes(&[(bus.addr(), open, open), (cpu.addr(), running, running)]).await?;

    let what = "the MCU running its firmware";
    let started = regs.poll(control, READY_MASK, READY, INTERVAL, TIMEOUT, what).await;
    match started {
        Ok(_) => Ok(()),
        Err(error) if error.is_unplugged() => Err(error),
        Err(error) => {
            let key = regs.read(sys::FW_DBG7).await?;
            Err(if key & fw_dbg7::FW_KEY_MASK == ILLEGAL_KEY {
                let expected = "a firmware whose key the chip takes";
                regs.error(ErrorKind::Unexpected { register: sys::FW_DBG7.addr(), got: key, expected })
            } else {
                error
            })
        }
    }
}

/// Registers that the download sets for itself, as they were.
struct Borrowed {
    queue_map: u8,
    enabled: u16,
    high_pages: u16,
    queues: u32,
    beacon: u8,
}

impl Borrowed {
    /// Everything that is sent goes through the high queue, by DMA, as a beacon that software gives; the port's own
    /// beacons stop.
    async fn take(regs: &Regs) -> Result<Self, Error> {
        let queue_map = regs.start_read(mac::TXDMA_PQ_MAP.byte(1)).await?;
        let enabled = regs.start_read(mac::CR.cast::<u16>(0)).await?;
        let high_pages = regs.start_read(mac::FIFOPAGE_INFO_1).await?;
        let queues = regs.start_read(mac::RQPN_CTRL_2).await?;
        let beacon = regs.start_read(mac::BCN_CTRL.byte(0)).await?;
        let borrowed = Self {
            queue_map: queue_map.value().await?,
            enabled: enabled.value().await?,
            high_pages: high_pages.value().await?,
            queues: queues.value().await? | rqpn_ctrl_2::LD_RQPN,
            beacon: beacon.value().await?,
        };
        regs.write(mac::TXDMA_PQ_MAP.byte(1), HIGH_QUEUE).await?;
        regs.write(mac::CR.byte(0), (cr::HCI_TXDMA_EN | cr::TXDMA_EN) as u8).await?;
        regs.write(more::H2CQ_CSR, h2cq_csr::H2CQ_FULL).await?;
        regs.write(mac::FIFOPAGE_INFO_1, HIGH_PAGES).await?;
        regs.write(mac::RQPN_CTRL_2, borrowed.queues).await?;
        let beacon = borrowed.beacon & !(bcn_ctrl::EN_BCN_FUNCTION as u8) | bcn_ctrl::DIS_TSF_UDT as u8;
        regs.write(mac::BCN_CTRL.byte(0), beacon).await?;
        let upper = borrowed.enabled >> 8 | (cr::ENSWBCN >> 8) as u16;
        regs.write(mac::CR.byte(1), upper as u8).await?;
        Ok(borrowed)
    }

    async fn put_back(self, regs: &Regs) -> Result<(), Error> {
        regs.write(mac::FIFOPAGE_CTRL_2, fifopage_ctrl_2::BCN_VALID_V1 as u16).await?;
        let [lower, upper] = self.enabled.to_le_bytes();
        regs.write(mac::CR.byte(1), upper).await?;
        regs.write(mac::TXDMA_PQ_MAP.byte(1), self.queue_map).await?;
        regs.write(mac::CR.byte(0), lower).await?;
        regs.write(more::H2CQ_CSR, h2cq_csr::H2CQ_FULL).await?;
        regs.write(mac::FIFOPAGE_INFO_1, self.high_pages).await?;
        regs.write(mac::RQPN_CTRL_2, self.queues).await?;
        regs.write(mac::BCN_CTRL.byte(0), self.beacon).await
    }
}

/// Resets the MCU's surroundings.
async fn reset_platform(regs: &Regs) -> Result<(), Error> {
    let platform = (sys::CPU_DMEM_CON.byte(2).addr(), (cpu_dmem_con::WL_PLATFORM_RST >> 16) as u8);
    let clock = (sys::SYS_CLK_CTRL.byte(1).addr(), (sys_clk_ctrl::CPU_CLK_EN >> 8) as u8);
    for value in [0, u8::MAX] {
        regs.update_bytes(&[(platform.0, platform.1, value), (clock.0, clock.1, value)]).await?;
    }
    Ok(())
}

/// Sends a page into the transmit buffer's first pages and waits until it has arrived.
async fn send_page(regs: &Regs, sink: &dyn PacketSink, page: &[u8]) -> Result<(), Error> {
    // Written 1 the bit falls; the page is to lie at the buffer's start.
    let arrived = fifopage_ctrl_2::BCN_VALID_V1 as u16;
    regs.write(mac::FIFOPAGE_CTRL_2, arrived).await?;
    regs.barrier().await?;
    sink.send(packet(Kind::ReservedPage, &padded(page))).await.map_err(|source| {
        let operation = "sending a page of the firmware".to_owned();
        regs.error(ErrorKind::Transfer { operation, source })
    })?;
    let what = "a page of the firmware in the transmit buffer";
    regs.poll(mac::FIFOPAGE_CTRL_2, arrived, arrived, INTERVAL, TIMEOUT, what).await.map(drop)
}

/// The page, made longer by a byte where it would fill its last USB packet. Mainline reckons with 48 bytes before it.
fn padded(page: &[u8]) -> Vec<u8> {
    let mut page = page.to_vec();
    if (page.len() + 48).is_multiple_of(512) {
        page.push(0);
    }
    page
}

/// Has the DMA engine copy `length` bytes of the page that is in the buffer to `address`; the `first` of a section
/// begins a new sum.
async fn copy(regs: &Regs, address: u32, length: usize, first: bool) -> Result<(), Error> {
    let mut control = ddma::DDMACH0_CHKSUM_EN | ddma::DDMACH0_OWN | length as u32 & ddma::MASK_DDMACH0_DLEN;
    if !first {
        control |= ddma::DDMACH0_CHKSUM_CONT;
    }
    regs.write(more::DDMA_CH0SA, TRANSMIT_BUFFER + DESCRIPTOR as u32).await?;
    regs.write(more::DDMA_CH0DA, address).await?;
    regs.write(more::DDMA_CH0CTRL, control).await?;
    let what = "a page of the firmware in the MCU's memory";
    regs.poll(more::DDMA_CH0CTRL, ddma::DDMACH0_OWN, 0, INTERVAL, TIMEOUT, what).await.map(drop)
}

/// Looks at the sum of the section at `address`, and says of its memory that it is in and whether it is right.
async fn check_sum(regs: &Regs, address: u32) -> Result<(), Error> {
    let control = sys::MCUFW_CTRL.byte(0);
    let held = regs.start_read(control).await?;
    let sum = regs.start_read(more::DDMA_CH0CTRL).await?;
    let (held, sum) = (u32::from(held.value().await?), sum.value().await?);
    let (is_in, right) = if address < DATA_MEMORY {
        (bit::IMEM_DW_OK, bit::IMEM_CHKSUM_OK)
    } else {
        (bit::DMEM_DW_OK, bit::DMEM_CHKSUM_OK)
    };
    let wrong = sum & ddma::DDMACH0_CHKSUM_STS != 0;
    let told = if wrong { (held | is_in) & !right } else { held | is_in | right };
    regs.write(control, told as u8).await?;
    if wrong {
        let expected = "the firmware's checksum to be right";
        return Err(regs.error(ErrorKind::Unexpected {
            register: more::DDMA_CH0CTRL.addr(),
            got: sum,
            expected,
        }));
    }
    Ok(())
}
