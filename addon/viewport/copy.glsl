/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Copies bricks, one behind the other along z, to their places in an atlas: Blender cannot change a part of a texture
 * otherwise.
 */

#define WIDE 10.0 /* a brick with its border */

void main()
{
  ivec3 at = ivec3(gl_GlobalInvocationID);
  /* in floats, which are exact here: software divides whole numbers one by one */
  float number = floor((float(at.z) + 0.5) / WIDE);
  float row = float(first_row) + number;
  float column = floor((row + 0.5) / layout_of_atlas.x);
  float layer = floor((column + 0.5) / layout_of_atlas.y);
  vec3 place = vec3(row - column * layout_of_atlas.x, column - layer * layout_of_atlas.y, layer);
  /* numpy's last axis, z, is the first of the texture */
  ivec3 target = ivec3(place * WIDE + vec3(float(at.z) - number * WIDE, at.y, at.x));
  vec4 value = texelFetch(block, at, 0);
#ifdef FEATURES
  vec4 second = floor(value / 256.0);
  vec4 first = value - second * 256.0;
  imageStore(atlas_0, target, vec4(first.r, second.r, first.g, second.g) / 255.0);
  imageStore(atlas_1, target, vec4(first.b, second.b, first.a, second.a) / 255.0);
#else
  imageStore(atlas_0, target, value);
#endif
}
