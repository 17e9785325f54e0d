/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Copies a slab of bricks into its place in an atlas: Blender cannot change a part of a texture otherwise. */

void main()
{
  ivec3 at = ivec3(gl_GlobalInvocationID);
  if (all(lessThan(at, textureSize(slab, 0)))) {
    imageStore(atlas, at + ivec3(0, 0, first_layer), texelFetch(slab, at, 0));
  }
}
