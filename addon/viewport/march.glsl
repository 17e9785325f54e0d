/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Marches a ray through one baked field and writes scene-linear, premultiplied light.
 *
 * Lengths along the ray are in field units; `along_axis` turns them into view-space depth and back. Samples lie in the
 * middle of steps that are counted from where the ray enters, so that skipping empty space does not move any sample.
 * core/bake/dense_march.py does the same with numpy.
 */

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
