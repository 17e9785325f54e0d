# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work in a process of its own: started, heard and stopped without ever blocking the interface."""
