#!/usr/bin/env python3
"""From microphone to ear, on the signal itself: two processes on this machine, real devices of a sound server.

    cargo build --release
    .ci/sound.sh benches/ear.py            (needs numpy and PulseAudio)

The left channel of one wire is what the host's microphone hears, the right one what the member's loudspeaker plays, both
recorded by one clock; the delay is where their correlation peaks, in windows of two seconds. Sound server, sound cards'
blocks, resampling, encoder, jitter buffer and decoder are all in it, and the path is loopback (some 0.05 ms).
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import wave

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
ALM = str(ROOT / "target/release/alm")
RATE = 48_000
SECONDS = 24
# Flags, by what is measured.
WAYS = {
    "20 ms": [],
    "20 ms, no processing": ["--no-processing"],
    "10 ms": ["--frame", "10ms"],
    "5 ms": ["--frame", "5ms"],
    "2.5 ms": ["--frame", "2.5ms"],
}


def pactl(*args):
    return subprocess.run(["pactl", *args], check=True, capture_output=True, text=True).stdout


def wire():
    """One stereo wire, each channel of which is a device."""
    pactl("load-module", "module-null-sink", "sink_name=wire", f"rate={RATE}", "channels=2")
    for name, side in [("mic", "front-left"), ("spk", "front-right")]:
        maps = ["channels=1", f"master_channel_map={side}", "channel_map=mono", "remix=no"]
        pactl("load-module", "module-remap-sink", f"sink_name={name}", "master=wire", *maps)
    maps = ["channels=1", "master_channel_map=front-left", "channel_map=mono", "remix=no"]
    pactl("load-module", "module-remap-source", "source_name=capsule", "master=wire.monitor", *maps)


def measure(flags, talk):
    with tempfile.TemporaryDirectory() as state:
        common = ["--no-mdns", "--no-web", "--no-port-map", "--listen", "127.0.0.1:0", "--json"]
        host = subprocess.Popen(
            [ALM, "host", "--session", "ear", "--state", f"{state}/a", "--input", "capsule", "--output", "null", *common, *flags],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        word = next(event["id"] for event in map(json.loads, host.stdout) if event["event"] == "session")
        member = subprocess.Popen(
            [ALM, "join", word, "--state", f"{state}/b", "--input", "silence", "--output", "spk", *common, *flags],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        say = subprocess.Popen(["paplay", "--device=mic", talk])
        time.sleep(6)
        sound = subprocess.run(
            ["timeout", str(SECONDS), "parec", "-d", "wire.monitor", f"--rate={RATE}", "--channels=2", "--format=s16le", "--raw"],
            capture_output=True).stdout
        for process in [say, member, host]:
            process.terminate()
            process.wait()
    both = np.frombuffer(sound[: len(sound) // 4 * 4], dtype="<i2").reshape(-1, 2).astype(float)
    spoken, heard = both[:, 0], both[:, 1]
    delays = []
    for begin in range(RATE, len(both) - 3 * RATE, RATE):
        piece, around = spoken[begin : begin + 2 * RATE], heard[begin : begin + 3 * RATE]
        if piece.std() < 50 or around.std() < 50:
            continue
        size = 1 << (3 * RATE).bit_length()
        product = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(piece, size)), size)
        delays.append(int(np.argmax(product[:RATE])) * 1_000 / RATE)
    return np.array(delays)


def main():
    wire()
    with tempfile.NamedTemporaryFile(suffix=".wav") as talk:
        voices = sorted((ROOT / "fixtures/voices").glob("*.wav"))
        with wave.open(talk.name, "wb") as out:
            for path in voices * 3:
                with wave.open(str(path)) as voice:
                    if out.getnframes() == 0:
                        out.setparams(voice.getparams())
                    out.writeframes(voice.readframes(voice.getnframes()))
        print(f"{'frames':24} median      5 %     95 %  windows")
        for name, flags in WAYS.items():
            if sys.argv[1:] and name not in sys.argv[1:]:
                continue
            delays = measure(flags, talk.name)
            if not len(delays):
                print(f"{name:24} nothing was heard")
                continue
            low, middle, high = np.percentile(delays, [5, 50, 95])
            print(f"{name:24} {middle:5.1f} ms {low:5.1f} ms {high:5.1f} ms {len(delays):8}", flush=True)


main()
