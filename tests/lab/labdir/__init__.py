# SPDX-License-Identifier: Apache-2.0
"""The lab directory, by topic. tests/lab/directory.py starts it and says how it is used."""
