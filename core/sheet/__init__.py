# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset looked at: a contact sheet of its passes, and what its views and objects amount to."""
