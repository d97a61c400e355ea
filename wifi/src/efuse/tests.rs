//! The cells' list, and what the map says.

use super::*;
use crate::chip::Chip;

fn everything(_: usize) -> bool {
    true
}

fn ours(offset: usize) -> bool {
    Chip::Rtl8812au.info().efuse.uses(offset)
}

fn parse(cells: &[u8]) -> Result<(Vec<u8>, u16), Malformed> {
    parse_for(cells, everything).map(|(map, end, _)| (map, end))
}

/// The map, the end of the list, and the cells that were asked for.
fn parse_for(cells: &[u8], uses: fn(usize) -> bool) -> Result<(Vec<u8>, u16, Vec<u16>), Malformed> {
    let mut parser = Parser::new(512, 512, &uses);
    let mut asked = Vec::new();
    while let Some(cell) = parser.next_cell() {
        // What it names ahead is what it then takes.
        let wanted = parser.wanted();
        assert_eq!(wanted.first(), Some(&cell));
        for cell in wanted {
            assert_eq!(parser.next_cell(), Some(cell));
            asked.push(cell);
            parser.feed(cells.get(usize::from(cell)).copied().unwrap_or(BLANK))?;
        }
    }
    let (map, end) = parser.finish();
    Ok((map, end, asked))
}

#[test]
fn one_and_two_byte_headers_place_their_words() {
    // Block 1, words 0 and 3; then block 0x1a (extended), word 2 only; then the end.
    let cells = [0x16, 0xaa, 0xbb, 0xcc, 0xdd, 0x4f, 0x3b, 0x11, 0x22, 0xff];
    let (map, seen) = parse(&cells).unwrap();
    assert_eq!(&map[8..16], &[0xaa, 0xbb, 0xff, 0xff, 0xff, 0xff, 0xcc, 0xdd]);
    assert_eq!(&map[0x1a * 8 + 4..0x1a * 8 + 6], &[0x11, 0x22]);
    assert_eq!(seen, 10, "reading stops at the end marker");
}

#[test]
fn a_blank_efuse_costs_one_cell_and_gives_defaults() {
    let (map, seen) = parse(&[]).unwrap();
    assert_eq!(seen, 1);
    let info = EfuseInfo::new(&Chip::Rtl8812au.info().efuse, &map, seen);
    assert_eq!((info.rfe_option, info.crystal_cap, info.mac_address), (0, 0x20, None));
    assert_eq!(info.front_end, FrontEnd::default());
    assert!(!info.bt_coex);
}

#[test]
fn the_wanted_cells_never_reach_past_the_header_after_the_block() {
    let mut parser = Parser::new(512, 512, &everything);
    assert_eq!(parser.wanted(), [0]);
    parser.feed(0x10).unwrap();
    assert_eq!(parser.wanted(), (1..10).collect::<Vec<_>>(), "four words and the next header");
    parser.feed(0).unwrap();
    assert_eq!(parser.wanted(), (2..10).collect::<Vec<_>>());
    for _ in 0..7 {
        parser.feed(0).unwrap();
    }
    parser.feed(0xff).unwrap();
    assert_eq!((parser.wanted(), parser.next_cell()), (Vec::new(), None));
}

#[test]
fn words_that_nothing_uses_are_passed_over() {
    // Block 1 with all words, of which the USB mode's is used; blocks 0x1a (the USB ids, the MAC address's first
    // byte) and 0x1c (the maker's name); then the end.
    let block = [1, 2, 3, 4, 5, 6, 7, 8];
    let cells = [&[0x10][..], &block, &[0x4f, 0x30], &block, &[0x8f, 0x30], &block, &[0xff]].concat();
    let (map, end, asked) = parse_for(&cells, ours).unwrap();
    assert_eq!(asked, [0, 1, 2, 9, 10, 17, 18, 19, 20, 29]);
    assert_eq!(end, 30);
    assert_eq!((&map[8..12], &map[0xd5..0xd8]), (&[1, 2, 0xff, 0xff][..], &[0xff, 7, 8][..]));
}

#[test]
fn no_field_stands_in_a_word_that_is_passed_over() {
    let layout = &Chip::Rtl8812au.info().efuse;
    let mut random = Random(7);
    for _ in 0..500 {
        let whole: Vec<u8> = (0..512).map(|_| random.byte()).collect();
        let used = (0..512).map(|at| if ours(at & !1) || ours(at | 1) { whole[at] } else { BLANK });
        let used: Vec<u8> = used.collect();
        let text = |map: &[u8]| format!("{:?}", EfuseInfo::new(layout, map, 0));
        assert_eq!(text(&whole), text(&used));
    }
}

#[test]
fn w1_the_8821as_map_has_one_path_amplifiers_of_one_bit_and_its_address_elsewhere() {
    let layout = &Chip::Rtl8821au.info().efuse;
    let mut map = vec![BLANK; 512];
    map[0x10..0x3a].fill(0x2d);
    map[0xbc] = 0x10;
    map[0xbd] = 0x08;
    map[0x107..0x10d].copy_from_slice(&[2, 0, 0, 0, 0x21, 1]);
    map[0x08] = 0x02;
    let info = EfuseInfo::new(layout, &map, 0);
    assert_eq!(info.mac_address, Some([2, 0, 0, 0, 0x21, 1]));
    let expected = FrontEnd { ext_pa_2g: true, ext_lna_2g: true, ..FrontEnd::default() };
    assert_eq!((info.front_end, info.table_front_end, info.rfe_option), (expected, expected, 0));
    assert_eq!((info.tx_power[0], info.tx_power[1]), ([0x2d; 42], [BLANK; 42]));
    assert!(!info.usb_mode_switch, "it has no USB 3");
    assert!(layout.uses(0x39) && !layout.uses(0x3a) && !layout.uses(0xd7) && layout.uses(0x10c));
}

/// A small generator of bytes that look random.
struct Random(u32);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 24) as u8
    }
}

#[test]
fn a_block_outside_the_map_is_an_error() {
    // Extended header of block 0x7f in a map of 64 blocks.
    assert_eq!(parse(&[0xef, 0xf0, 1, 2]), Err(Malformed::OutsideMap { cell: 2, block: 0x7f }));
}

#[test]
fn a_block_that_runs_past_the_last_cell_is_an_error() {
    let cells = [[0x1f, 0x0f].repeat(255), vec![0x00, 0x10]].concat();
    assert!(matches!(parse(&cells), Err(Malformed::PastEnd { .. })));
}

#[test]
fn a_last_word_of_which_half_is_there_is_taken() {
    // Block 0 with all words, 56 times, and then all but a byte of it.
    let (map, seen) = parse(&[0; 512]).unwrap();
    assert_eq!((&map[..9], seen), (&[0, 0, 0, 0, 0, 0, 0, BLANK, BLANK][..], 512));
    assert_eq!(parse_for(&[0; 512], |_| false).unwrap().1, 512);
}

#[test]
fn any_bytes_end_without_a_panic() {
    let mut random = Random(0x1234_5678);
    let mut parsed = 0;
    for round in 0..4_000 {
        // In half of the rounds headers are such that blocks lie within the map.
        let cells: Vec<u8> =
            (0..512).map(|_| if round % 2 == 0 { random.byte() } else { random.byte() & 0xef }).collect();
        let (whole, ours) = (parse(&cells), parse_for(&cells, ours));
        assert_eq!(whole.is_ok(), ours.is_ok(), "what is passed over is judged all the same");
        if let (Ok((whole, seen)), Ok((map, end, _))) = (whole, ours) {
            assert!(seen == end && seen <= 512);
            let text = |map: &[u8]| format!("{:?}", EfuseInfo::new(&Chip::Rtl8812au.info().efuse, map, seen));
            assert_eq!(text(&whole), text(&map));
            parsed += 1;
        }
    }
    assert!(parsed > 50, "{parsed}");
}
