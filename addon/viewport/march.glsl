/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Marches a ray through one baked field and writes scene-linear, premultiplied light.
 *
 * Lengths along the ray are in field units; `along_axis` turns them into view-space depth and back. Samples lie in the
 * middle of steps that are counted from where the ray enters, so that skipping empty space does not move any sample.
 * core/bake_march.py does the same with numpy.
 */

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

void main()
{
  vec3 view_origin, view_direction;
  view_ray(uv, view_origin, view_direction);
  vec3 origin = (uniforms.field_from_view * vec4(view_origin, 1.0)).xyz;
  vec3 direction = (uniforms.field_from_view * vec4(view_direction, 0.0)).xyz;
  float along_axis = length(direction);
  direction /= along_axis;

  /* where the ray is inside the cube [0,1]^3, after the near plane and before what the viewport has drawn */
  vec3 safe = mix(direction, vec3(1e-12), lessThan(abs(direction), vec3(1e-12)));
  vec3 to_lower = -origin / safe;
  vec3 to_upper = (1.0 - origin) / safe;
  vec3 near_sides = min(to_lower, to_upper);
  vec3 far_sides = max(to_lower, to_upper);
  float first = max(max(near_sides.x, near_sides.y), near_sides.z);
  float last = min(min(far_sides.x, far_sides.y), far_sides.z);
  first = max(first, view_depth(-1.0) * along_axis);
  if (uniforms.range.w > 0.5) {
    ivec2 drawn = textureSize(scene_depth, 0);
    float depth = depth_without_grid(min(ivec2(uv * vec2(drawn)), drawn - 1));
    last = min(last, depth * along_axis);
  }

  float spacing = uniforms.grid.w;
  vec3 cells = vec3(textureSize(empty_cells, 0));
  vec3 cells_per_unit = uniforms.grid.xyz;
  int steps = int(ceil((last - first) / spacing));
  vec3 light = vec3(0.0);
  float transmittance = 1.0;
  int i = 0;
  while (i < steps && transmittance > 1e-3) {
    float start = first + float(i) * spacing;
    float interval = min(spacing, last - start); /* the last one ends where the ray does */
    vec3 position = origin + direction * (start + 0.5 * interval);
    vec3 cell = clamp(floor(position * cells_per_unit), vec3(0.0), cells - 1.0);
    /* how many cells away, in the maximum norm, the nearest one is that holds something */
    float free_cells = texelFetch(empty_cells, ivec3(cell), 0).r;
    if (free_cells > 0.5) {
      vec3 wall = mix(cell + 1.0 - free_cells, cell + free_cells, greaterThan(safe, vec3(0.0))) / cells_per_unit;
      vec3 to_wall = (wall - position) / safe;
      i += 1 + int(max(min(min(to_wall.x, to_wall.y), to_wall.z), 0.0) / spacing);
      continue;
    }
    vec4 voxel = textureLod(volume, position, 0.0); /* colour, density */
    float opacity = 1.0 - exp(-voxel.a * interval);
    light += transmittance * opacity * voxel.rgb;
    transmittance *= 1.0 - opacity;
    i += 1;
  }
  result = vec4(light, 1.0 - transmittance);
}
