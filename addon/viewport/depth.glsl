/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rays of the view, and where what the viewport has drawn ends them. Part of march.glsl and layer.glsl. */

/* view-space depth (positive ahead) of a depth-buffer value in normalised device coordinates */
float view_depth(float ndc_depth)
{
  if (uniforms.range.z > 0.5) { /* orthographic */
    return (uniforms.range.y - ndc_depth) / uniforms.range.x;
  }
  return uniforms.range.y / (ndc_depth + uniforms.range.x);
}

/* a ray of the view in its own space, scaled so that its parameter is the depth */
void view_ray(vec2 where, out vec3 start, out vec3 along)
{
  vec2 slope = (mix(uniforms.rectangle.xy, uniforms.rectangle.zw, where) + uniforms.lens.zw) / uniforms.lens.xy;
  bool orthographic = uniforms.range.z > 0.5;
  start = orthographic ? vec3(slope, 0.0) : vec3(0.0);
  along = orthographic ? vec3(0.0, 0.0, -1.0) : vec3(slope, -1.0);
}

/* Depth of what the viewport has drawn in a pixel, 1e30 where there is nothing, 0 outside of what is known; and whether
 * it is near the plane z = 0. */
float drawn_depth(ivec2 pixel, out bool on_floor)
{
  ivec2 size = textureSize(scene_depth, 0);
  on_floor = false;
  if (any(lessThan(pixel, ivec2(0))) || any(greaterThanEqual(pixel, size))) {
    return 0.0;
  }
  float value = texelFetch(scene_depth, pixel, 0).r;
  if (value >= 1.0) {
    return 1e30;
  }
  float depth = view_depth(value * 2.0 - 1.0);
  vec3 start, along;
  view_ray((vec2(pixel) + 0.5) / vec2(size), start, along);
  on_floor = abs(dot(uniforms.height, vec4(start + along * depth, 1.0))) < uniforms.floor_grid.y;
  return depth;
}

/* The lines of the viewport's floor grid are faint, but count as solid in the depth buffer. Whatever lies on the floor
 * and is no wider than a line is looked through; a real floor is wider. */
float depth_without_grid(ivec2 pixel)
{
  bool on_floor, here, there;
  float depth = drawn_depth(pixel, on_floor);
  int line_width = int(uniforms.floor_grid.x);
  if (!on_floor || line_width == 0) {
    return depth;
  }
  float beyond = 0.0;
  int narrow = 0;
  for (int i = 0; i < 4; i++) {
    ivec2 across = line_width * ivec2(i == 1 ? 0 : 1, i == 0 ? 0 : (i == 3 ? -1 : 1));
    float one_side = drawn_depth(pixel + across, here);
    float other_side = drawn_depth(pixel - across, there);
    if (!here && !there) {
      beyond = max(beyond, max(one_side, other_side));
      /* across or along the picture is enough; where two lines meet it takes both diagonals */
      narrow += i < 2 ? 2 : 1;
    }
  }
  return narrow >= 2 ? beyond : depth;
}
