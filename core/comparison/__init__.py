# SPDX-License-Identifier: GPL-3.0-or-later
"""The field held against the classic render: metrics and the report."""
