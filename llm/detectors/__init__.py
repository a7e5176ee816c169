"""Detectors of bad answers: pure, incremental, no false alarm on good ones."""
