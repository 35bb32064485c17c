"""Texts of every kind, both ways; what an ESME may ask about them; sessions of other versions and other doors."""

from __future__ import annotations

import asyncio
import re
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from gateway.pdus.pdu import (
    MESSAGE_PAYLOAD,
    SC_INTERFACE_VERSION,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    CancelSm,
    DistributionList,
    Outbind,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSmResp,
)
from gateway.simulator import PhoneState, Simulator, State
from gateway.simulator.letters import pack, read, unpack
from gateway.simulator.settings import Account, LongMessages, ReceiptForm, Subscriber
from gateway.simulator.settings_file import load
from tests.gateway.test_simulator import FRIEND, ME, Esme, bound, connect, running, settled, submit
from vas.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "simulator.toml"


def account(**fields: Any) -> dict[str, Account]:
    return {"vas": Account(password="secret", **fields)}


# --- reading


@pytest.mark.parametrize(
    ("octets", "data_coding", "alphabet", "udh", "text"),
    [
        pytest.param("e8329bfd4697d9ec37", 0, "gsm_packed", "", "hellohello", id="packed, as 3GPP packs it"),
        pytest.param("31d98c56b3dd1a", 0, "gsm_packed", "", "1234567", id="packed, filled up with a carriage return"),
        pytest.param("1b65 31", 0, "gsm", "", "€1", id="escape"),
        pytest.param("0c 1c 5b", 0, "gsm", "03250101", "ğŞÄ", id="Turkish locking shift"),
        pytest.param("1b53 1b67 1b65", 0, "gsm", "03240101", "Şğ€", id="Turkish single shift"),
        pytest.param("1b41 1b6f 1b75", 0, "gsm", "03240102", "Áóú", id="Spanish single shift"),
        pytest.param("7b 1b5b 5f", 0, "gsm", "06240103250103", "ãÃ§", id="Portuguese, both"),
        pytest.param("01ec1ebf", 8, "gsm", "", "Ǭế", id="UCS-2"),
        pytest.param("e9", 3, "gsm", "", "é", id="Latin-1"),
        pytest.param("40e9", 0, "latin1", "", "@é", id="Latin-1 as the default"),
        pytest.param("40", 0, "ascii", "", "@", id="ASCII as the default"),
        pytest.param("00", 0x0F, "ascii", "", "@", id="GSM by name"),
    ],
)
def test_octets_are_read_by_the_standard(octets: str, data_coding: int, alphabet: Any, udh: str, text: str) -> None:
    assert read(bytes.fromhex(octets), data_coding, alphabet, bytes.fromhex(udh)) == text


@pytest.mark.parametrize("header_octets", [0, 6, 7])
@pytest.mark.parametrize("septets", [b"", b"1", b"1234567", b"12345678", b"x" * 153])
def test_what_is_packed_is_unpacked(septets: bytes, header_octets: int) -> None:
    assert unpack(pack(septets, header_octets), header_octets) == septets


def test_seven_spare_bits_are_filled_so_that_they_read_as_no_at_sign() -> None:
    assert pack(b"1234567") == bytes.fromhex("31d98c56b3dd1a")


# --- from a phone

LONG = "Một tin nhắn dài. " * 8


@pytest.mark.parametrize(
    ("marks", "first", "tags"),
    [
        pytest.param("udh", "050003 00 03 01", set(), id="8-bit reference"),
        pytest.param("udh16", "060804 0000 03 01", set(), id="16-bit reference"),
        pytest.param("sar", "", {0x020C, 0x020E, 0x020F}, id="sar"),
    ],
)
async def test_a_long_text_is_marked_as_its_account_does_it(marks: LongMessages, first: str, tags: set[int]) -> None:
    async with running(accounts=account(long_messages=marks)) as simulator:
        esme = await bound(simulator)
        sent = simulator.phone(ME).text(LONG, to="9105")
        came = [await esme.delivered() for _ in sent]
        header = bytes.fromhex(first)
        assert came[0].short_message.startswith(header) and {tag for tag, _ in came[0].tlvs} == tags
        assert all(pdu.esm_class == (0x40 if header else 0) for pdu in came)
        assert b"".join(pdu.short_message[len(header) :] for pdu in came).decode("utf-16-be") == LONG


async def test_a_long_text_goes_whole_in_message_payload() -> None:
    async with running(accounts=account(long_messages="payload")) as simulator:
        esme = await bound(simulator)
        simulator.phone(ME).text(LONG, to="9105")
        pdu = await esme.delivered()
        assert pdu.short_message == b""
        assert (pdu.tlv(MESSAGE_PAYLOAD) or b"").decode("utf-16-be") == LONG


@pytest.mark.parametrize(
    ("alphabet", "text", "octets"),
    [
        ("gsm_packed", "hellohello", "e8329bfd4697d9ec37"),
        ("latin1", "é@", "e940"),
        ("ascii", "a@", "6140"),
        ("gsm", "é@", "0500"),
    ],
)
async def test_a_text_is_written_in_the_accounts_alphabet(alphabet: Any, text: str, octets: str) -> None:
    async with running(accounts=account(alphabet=alphabet)) as simulator:
        esme = await bound(simulator)
        simulator.phone(ME).text(text, to="9105")
        pdu = await esme.delivered()
        assert (pdu.data_coding, pdu.short_message) == (0, bytes.fromhex(octets))


async def test_a_short_code_goes_to_the_account_that_claims_it() -> None:
    accounts = {"vas": Account(password="secret", codes=("9105",)), "other": Account(password="secret")}
    async with running(accounts=accounts) as simulator:
        esme, other = await bound(simulator), await connect(simulator)
        await other.ask(BindTransceiver(system_id=b"other", password=b"secret"))
        for code in ("9105", "9106", "9105"):
            simulator.phone(ME).text("CM", to=code)
        assert [(await esme.delivered()).destination_addr for _ in range(2)] == [b"9105", b"9105"]
        assert (await other.delivered()).destination_addr == b"9106"


async def test_one_account_has_all_parts_of_a_text_and_the_bound_one_has_it() -> None:
    accounts = {name: Account(password="secret") for name in ("absent", "vas", "other")}
    async with running(accounts=accounts) as simulator:
        esme, other = await bound(simulator), await connect(simulator)
        await other.ask(BindTransceiver(system_id=b"other", password=b"secret"))
        parts = simulator.phone(ME).text(LONG, to="9105")
        assert len([await esme.delivered() for _ in parts]) == len(parts) > 1


# --- to a phone


@pytest.mark.parametrize("data_coding", [0x10, 0x18, 0xF0])
async def test_a_flash_message_is_shown_and_not_stored(data_coding: int) -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        phone = simulator.phone(FRIEND)
        await esme.ask(submit(b"\0h\0i" if data_coding == 0x18 else b"hi", data_coding=data_coding))
        shown = await phone.next_message()
        assert (shown.text, shown.flash, list(phone.inbox)) == ("hi", True, [])


async def test_octets_for_a_port_stay_octets() -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        udh = bytes.fromhex("0605040b8423f0")
        await esme.ask(submit(udh + b"\x01\x06\xff", esm_class=0x40, data_coding=4))
        message = await simulator.phone(FRIEND).next_message()
        assert (message.text, message.port, message.octets) == ("", 0x0B84, b"\x01\x06\xff")


@pytest.mark.parametrize("marks", ["sar", "udh16"])
async def test_segments_are_put_together_by_other_marks_too(marks: str) -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        for number, text in ((2, b"there"), (1, b"hello ")):
            if marks == "sar":
                tlvs = ((0x020C, b"\x12\x34"), (0x020E, b"\2"), (0x020F, bytes([number])))
                await esme.ask(submit(text, tlvs=tlvs))
            else:
                await esme.ask(submit(bytes([6, 8, 4, 0x12, 0x34, 2, number]) + text, esm_class=0x40))
        assert (await simulator.phone(FRIEND).next_message()).text == "hello there"


async def test_a_full_phone_takes_its_messages_when_it_has_room() -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        phone = simulator.phone(FRIEND)
        phone.fill()
        assert (await esme.ask(submit(registered_delivery=1))).status == 0
        assert phone.state is PhoneState.FULL and not phone.inbox and not simulator.record.mo
        phone.switch_on()
        assert (await phone.next_message()).text == "hello"
        assert b"stat:DELIVRD" in (await esme.delivered()).short_message


async def test_what_a_full_phone_never_takes_expires_for_that_reason() -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        simulator.phone(FRIEND).fill()
        await esme.ask(submit(registered_delivery=1, validity_period=b"000000000000000R"))
        assert b"stat:EXPIRED err:032" in (await esme.delivered()).short_message


@pytest.mark.parametrize(
    ("form", "start", "tags"),
    [
        pytest.param(ReceiptForm(ids="hex", counts=False, tlvs=False), b"id:%x submit date:", {0x1E}, id="hex"),
        pytest.param(ReceiptForm(id_in="text", date_digits=12), b"id:%d sub:001", {0x427}, id="in the text"),
        pytest.param(ReceiptForm(id_in="tlv", esm_class=0), b"sub:001 dlvrd:001", {0x1E, 0x427}, id="in the TLV"),
    ],
)
async def test_receipts_are_written_as_the_account_says(form: ReceiptForm, start: bytes, tags: set[int]) -> None:
    async with running(accounts=account(receipt=form)) as simulator:
        esme = await bound(simulator)
        answer = await esme.ask(submit(registered_delivery=1))
        receipt = await esme.delivered()
        assert isinstance(answer, SubmitSmResp)
        expected = start % int(answer.message_id) if b"%" in start else start
        assert receipt.short_message.startswith(expected)
        assert {tag for tag, _ in receipt.tlvs} == tags and receipt.esm_class == form.esm_class


async def test_a_receipt_repeats_the_reference_of_its_message() -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        await esme.ask(submit(registered_delivery=1, tlvs=((0x0204, b"\x12\x34"),)))
        assert (await esme.delivered()).tlv(0x0204) == b"\x12\x34"


# --- query_sm, cancel_sm, replace_sm, submit_multi


async def waiting(simulator: Simulator) -> tuple[Esme, bytes]:
    """An ESME whose message waits for a phone that is off, and the message's id."""
    esme = await bound(simulator)
    simulator.phone(FRIEND).switch_off()
    answer = await esme.ask(submit(registered_delivery=1))
    assert isinstance(answer, SubmitSmResp)
    return esme, answer.message_id


async def test_the_state_of_a_message_is_told() -> None:
    async with running() as simulator:
        esme, id = await waiting(simulator)
        answer = await esme.ask(QuerySm(message_id=id, source_addr=b"9105"))
        assert isinstance(answer, QuerySmResp)
        assert (answer.status, answer.message_id, answer.message_state, answer.final_date) == (0, id, 1, b"")
        simulator.phone(FRIEND).switch_on()
        await esme.delivered()
        answer = await esme.ask(QuerySm(message_id=id, source_addr=b"9105"))
        assert isinstance(answer, QuerySmResp)
        assert answer.message_state == 2 and len(answer.final_date) == 16 and answer.final_date.endswith(b"00+")


@pytest.mark.parametrize(
    ("pdu", "status"),
    [
        pytest.param(QuerySm(message_id=b"1", source_addr=b"9105"), 0x67, id="query_sm"),
        pytest.param(CancelSm(message_id=b"1", source_addr=b"9105"), 0x11, id="cancel_sm"),
        pytest.param(ReplaceSm(message_id=b"1", source_addr=b"9105", short_message=b"x"), 0x13, id="replace_sm"),
    ],
)
async def test_a_message_that_nobody_sent_is_not_found(pdu: Any, status: int) -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        assert (await esme.ask(pdu)).status == status


async def test_the_source_is_part_of_the_key() -> None:
    async with running() as simulator:
        esme, id = await waiting(simulator)
        assert (await esme.ask(QuerySm(message_id=id, source_addr=b"9106"))).status == 0x67
        assert (await esme.ask(CancelSm(message_id=id, source_addr=b"9106"))).status == 0x11


async def test_the_account_is_part_of_the_key() -> None:
    async with running(accounts={"vas": "secret", "other": "secret"}) as simulator:
        _, id = await waiting(simulator)
        other = await connect(simulator)
        await other.ask(BindTransceiver(system_id=b"other", password=b"secret"))
        assert (await other.ask(QuerySm(message_id=id, source_addr=b"9105"))).status == 0x67


@pytest.mark.parametrize("by_id", [True, False])
async def test_a_message_that_waits_is_cancelled_once(by_id: bool) -> None:
    async with running() as simulator:
        esme, id = await waiting(simulator)
        pdu = CancelSm(message_id=id if by_id else b"", source_addr=b"9105", destination_addr=FRIEND.encode())
        assert (await esme.ask(pdu)).status == 0
        assert simulator.record.mt[0].state is State.DELETED
        assert b"stat:DELETED" in (await esme.delivered()).short_message
        assert (await esme.ask(pdu)).status == 0x11
        simulator.phone(FRIEND).switch_on()
        assert not simulator.phone(FRIEND).inbox


async def test_a_message_that_waits_is_replaced_and_one_that_arrived_is_not() -> None:
    async with running() as simulator:
        esme, id = await waiting(simulator)
        pdu = ReplaceSm(message_id=id, source_addr=b"9105", short_message=b"better")
        assert (await esme.ask(pdu)).status == 0
        simulator.phone(FRIEND).switch_on()
        assert (await simulator.phone(FRIEND).next_message()).text == "better"
        assert (await esme.ask(pdu)).status == 0x13


async def test_a_message_for_several_goes_to_each_and_names_who_was_refused() -> None:
    async with running() as simulator:
        esme = await bound(simulator)
        answer = await esme.ask(
            SubmitMulti(
                source_addr=b"9105",
                dest_addresses=(
                    SmeAddress(1, 1, FRIEND.encode()),
                    SmeAddress(1, 1, b"friend"),
                    DistributionList(b"all"),
                    SmeAddress(1, 1, ME.encode()),
                ),
                short_message=b"hello",
            )
        )
        assert isinstance(answer, SubmitMultiResp) and answer.message_id
        refused = [(sme.destination_addr, sme.error_status_code) for sme in answer.unsuccess_smes]
        assert refused == [(b"friend", 0x0B), (b"all", 0x34)]
        assert [(await simulator.phone(number).next_message()).text for number in (FRIEND, ME)] == ["hello", "hello"]


@pytest.mark.parametrize("pdu", [QuerySm(message_id=b"1"), SubmitMulti(dest_addresses=(SmeAddress(),))])
async def test_a_receiver_may_not_ask(pdu: Any) -> None:
    async with running() as simulator:
        esme = await bound(simulator, BindReceiver)
        assert (await esme.ask(pdu)).status == 0x04


# --- sessions


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ("5.0", 0x34, b"\x34"),
        ("5.0", 0x50, b"\x50"),
        ("3.4", 0x50, b"\x34"),
        ("5.0", 0x33, None),
        ("5.0", 0x00, None),
        ("5.0", 0x3F, b"\x34"),
        ("5.0", 0x77, b"\x50"),
        ("3.3", 0x34, None),
    ],
)
async def test_the_older_version_is_spoken(ours: str, theirs: int, told: bytes | None) -> None:
    async with running(interface_version=ours, message_id_tlv=0x1401) as simulator:
        esme = await connect(simulator)
        answer = await esme.ask(BindTransceiver(system_id=b"vas", password=b"secret", interface_version=theirs))
        assert isinstance(answer, BindTransceiverResp)
        assert answer.tlv(SC_INTERFACE_VERSION) == told
        simulator.phone(ME).text("CM", to="9105")
        assert bool((await esme.delivered()).tlvs) is (told is not None)


async def test_no_more_binds_than_the_account_may_have() -> None:
    async with running(accounts=account(binds=1)) as simulator:
        first, second = await bound(simulator), await connect(simulator)
        request = BindTransceiver(system_id=b"vas", password=b"secret")
        assert (await second.ask(request)).status == 0x05
        first.transport.abort()
        async with asyncio.timeout(5):
            while (await second.ask(request)).status:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


async def test_the_smsc_calls_an_esme_that_binds_on_that_connection() -> None:
    async with running(outbind_password="knock") as simulator:
        esme = Esme()
        server = await asyncio.get_running_loop().create_server(lambda: esme, "127.0.0.1", 0)
        await simulator.outbind("127.0.0.1", server.sockets[0].getsockname()[1])
        called = await esme.next()
        assert isinstance(called, Outbind)
        assert (called.system_id, called.password) == (b"SIMULATOR", b"knock")
        assert isinstance(await esme.ask(BindReceiver(system_id=b"vas", password=b"secret")), BindReceiverResp)
        simulator.phone(ME).text("CM", to="9105")
        assert (await esme.delivered()).short_message == b"CM"
        await settled(simulator)
        server.close()


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    files = f"-keyout {key} -out {pem} -subj /CN={name} -addext subjectAltName=DNS:{name}"
    subprocess.run(f"{made} {files}".split(), check=True, capture_output=True)
    return pem, key


@pytest.mark.parametrize("shows_its_own", [True, False])
async def test_tls_admits_who_shows_the_certificate_that_is_asked_for(tmp_path: Path, shows_its_own: bool) -> None:
    (server, server_key), (client, client_key) = certificate(tmp_path, "smsc"), certificate(tmp_path, "client")
    settings = {"tls_certificate": server, "tls_key": server_key, "tls_client_ca": client}
    async with running(**settings) as simulator:
        context = ssl.create_default_context(cafile=str(server))
        if shows_its_own:
            context.load_cert_chain(client, client_key)
        _, esme = await asyncio.get_running_loop().create_connection(
            Esme, "127.0.0.1", simulator.port, ssl=context, server_hostname="smsc"
        )
        if shows_its_own:
            assert (await esme.ask(BindTransceiver(system_id=b"vas", password=b"secret"))).status == 0
        else:
            esme.send(BindTransceiver(system_id=b"vas", password=b"secret"))
            await asyncio.wait_for(esme.lost.wait(), 5)
            assert esme.came.empty()


async def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.pem"):
        async with running(tls_certificate=tmp_path / "nowhere.pem"):
            pass


# --- settings and HTTP


def test_the_example_settings_load_as_they_stand_and_with_every_default_uncommented(tmp_path: Path) -> None:
    assert sorted(load(EXAMPLE, {}).accounts) == ["vas"]
    told = re.sub(r"^# (?=[a-z_]+ = |\[\[)", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    whole = tmp_path / "whole.toml"
    whole.write_text(told)
    assert load(whole, {}).faults[0].every == 10


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("ports = 1", "there is no setting `ports`"),
        ('[accounts.vas]\npassword = "far too long"', "accounts.*.password"),
        ('[accounts.vas]\npassword = "x"\nussd = "7d"', "there is no '7d': spec, 6d, mica"),
        ('ussd_timer = "30"', "'30' is no duration"),
        ("port = 99999", "port"),
        ("", "nobody may bind"),
        ("port", "is no TOML"),
        ('[[faults]]\nkind = "status"\nstatus = "ROUCH"', "'ROUCH' is no command_status"),
        ('[accounts.vas]\npassword = "x"\n[[subscribers]]\nnumber = "mother"', "subscribers 1: 'mother' is no number"),
    ],
)
def test_settings_that_cannot_be_used_say_why(tmp_path: Path, written: str, said: str) -> None:
    file = tmp_path / "simulator.toml"
    file.write_text(written)
    with pytest.raises(ConfigError) as refused:
        load(file, {})
    assert said in str(refused.value)


async def test_a_balance_is_set_and_read_over_http() -> None:
    subscribers = (Subscriber(number=ME, balance=5000, language="en", state="switched_off"),)
    async with running(http_port=0, subscribers=subscribers) as simulator:
        async with ClientSession(f"http://127.0.0.1:{simulator.http_port}") as http:
            async with http.get(f"/phones/{ME}") as answer:
                view = await answer.json()
            assert (view["balance"], view["language"], view["state"]) == (5000, "en", "switched_off")
            async with http.post(f"/phones/{ME}/balance", json={"balance": 20000}) as answer:
                assert answer.status == 204
            async with http.post(f"/phones/{ME}/balance", json={"balance": -1}) as answer:
                assert answer.status == 400
            async with http.get("/phones") as answer:
                assert [phone["number"] for phone in await answer.json()] == [ME]
        assert simulator.phone(ME).balance == 20000


async def test_a_browser_gets_the_page_and_a_script_gets_the_help() -> None:
    async with running(http_port=0) as simulator, ClientSession(f"http://127.0.0.1:{simulator.http_port}") as http:
        async with http.get("/", headers={"Accept": "text/html"}) as answer:
            page = await answer.text()
        async with http.get("/") as answer:
            assert (await answer.text()).startswith("An SMSC with phones")
    assert "<title>SMSC simulator</title>" in page
    assert "http://" not in page and "https://" not in page


async def test_what_happens_on_any_phone_is_told_to_who_watches() -> None:
    async with running(http_port=0) as simulator:
        esme = await bound(simulator)
        async with ClientSession(f"http://127.0.0.1:{simulator.http_port}") as http, http.get("/events") as stream:
            simulator.phone(ME).text("CM", to="9105")
            await esme.delivered()
            await esme.ask(submit())
            told: list[bytes] = []
            async with asyncio.timeout(5):
                while len(told) < 2:
                    if line := (await stream.content.readline()).strip():
                        told.append(line)
        assert b'"phone":"84987654321"' in told[0] and b'"what":"text"' in told[0]
        assert b'"phone":"84912345678"' in told[1] and b'"text":"hello"' in told[1]


async def test_an_outbind_to_nobody_is_a_problem() -> None:
    async with (
        running(http_port=0) as simulator,
        ClientSession(f"http://127.0.0.1:{simulator.http_port}") as http,
        http.post("/outbind", json={"host": "127.0.0.1", "port": 1}) as answer,
    ):
        assert (answer.status, answer.content_type) == (502, "application/problem+json")
