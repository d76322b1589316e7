#!/usr/bin/env python3
"""Holds what the bench `quality` wrote against the original, by ViSQOL (speech mode) and PESQ (wide band), 1 to 5.

    pip install visqol-python pesq soundfile
    mkdir /tmp/quality && ALM_QUALITY=/tmp/quality cargo bench --bench quality
    benches/quality.py /tmp/quality
"""
import pathlib
import sys

import numpy as np
import pesq
import visqol
from scipy.io import wavfile
from scipy.signal import resample_poly

SECONDS = 8  # PESQ and ViSQOL are made for pieces of some seconds; scores are means over pieces.
RATE = 16_000


def load(path):
    _, sound = wavfile.read(path)
    return resample_poly(sound.astype(np.float64) / 32768.0, 1, 3)


def delay(original, sound):
    """By how many samples `sound` is behind."""
    size = 1 << (len(original) + len(sound)).bit_length()
    product = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(original, size)), size)
    return int(np.argmax(product[: RATE]))


def main():
    folder = pathlib.Path(sys.argv[1])
    original = load(folder / "original.wav")
    judge = visqol.VisqolApi()
    judge.create(mode="speech")
    print(f"{'loss, layers':28} ViSQOL   PESQ")
    for path in sorted(folder.glob("*.wav")):
        if path.stem == "original":
            continue
        sound = load(path)
        sound = sound[delay(original, sound):]
        scores = []
        for begin in range(RATE, min(len(original), len(sound)) - SECONDS * RATE, SECONDS * RATE):
            piece = slice(begin, begin + SECONDS * RATE)
            one, other = original[piece], sound[piece]
            scores.append((judge.measure_from_arrays(one, other, RATE).moslqo, pesq.pesq(RATE, one, other, "wb")))
        mean = np.mean(np.array(scores), axis=0)
        print(f"{path.stem:28} {mean[0]:6.2f} {mean[1]:6.2f}")


main()
