# SPDX-License-Identifier: GPL-3.0-or-later
"""The field on NVIDIA GPUs: kernels of our own, compiled at run time, in memory and on streams of PyTorch's."""
