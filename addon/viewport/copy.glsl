/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Copies bricks, one behind the other along z, to their places in an atlas: Blender cannot change a part of a texture
 * otherwise.
 */

#define WIDE 10 /* a brick with its border */

void main()
{
  ivec3 at = ivec3(gl_GlobalInvocationID);
  int row = first_row + at.z / WIDE;
  int layer = row / layout_of_atlas.x;
  ivec3 place = ivec3(row - layer * layout_of_atlas.x, layer % layout_of_atlas.y, layer / layout_of_atlas.y);
  imageStore(atlas, place * WIDE + ivec3(at.xy, at.z % WIDE), texelFetch(block, at, 0) * scale);
}
