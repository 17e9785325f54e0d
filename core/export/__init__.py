# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways out of a twin: a volume, a mesh or points that any program shows without us, and what each of them loses."""
