/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Marches a ray through one baked field and writes scene-linear, premultiplied light.
 *
 * Lengths along the ray are in field units; `along_axis` turns them into view-space depth and back. Samples lie in the
 * middle of steps that are counted from where the ray enters, so that skipping empty space does not move any sample.
 * core/bake/march.py does the same with numpy.
 *
 * The index has a texel for each place of a brick. Each of its four numbers is a layer (along z) of the brick's 4^3
 * cells, a bit for each cell in which something can be seen, and above these 16 bits six more of the brick's row. Where
 * no bit is set, those tell how many places away the nearest brick with one is, in the maximum norm.
 */

/* no constants of GLSL and no constructors of arrays: Blender turns neither into Metal's language */
#define BRICK 8
#define WIDE 10 /* a brick with its border in the atlas */
#define CELLS 4 /* along a brick */
#define FAINT -4.6 /* just above the logarithm of the density that nobody sees */

#ifdef COUNT_FETCHES
int fetches = 0;
#  define FETCHED fetches++
#else
#  define FETCHED
#endif

/* where a ray is inside of the cube [0,1]^3, in units of its direction */
vec2 inside_cube(vec3 origin, vec3 direction)
{
  vec3 safe = mix(direction, vec3(1e-12), lessThan(abs(direction), vec3(1e-12)));
  vec3 to_lower = -origin / safe;
  vec3 to_upper = (1.0 - origin) / safe;
  vec3 near_sides = min(to_lower, to_upper);
  vec3 far_sides = max(to_lower, to_upper);
  return vec2(max(max(near_sides.x, near_sides.y), near_sides.z), min(min(far_sides.x, far_sides.y), far_sides.z));
}

#ifdef NETWORK
/* light that depends on the direction: a network with two hidden layers, asked once for the whole ray */
#ifdef MANY
#  define TOLD 31
#  ifdef HIDDEN_64
#    define HIDDEN 16 /* fours */
#  else
#    define HIDDEN 8
#  endif
#else
#  define TOLD 19
#  define HIDDEN 6
#endif
#define BIAS_1 (TOLD * HIDDEN)
#define WEIGHTS_2 (BIAS_1 + HIDDEN)
#define BIAS_2 (WEIGHTS_2 + 4 * HIDDEN * HIDDEN)
#define WEIGHTS_3 (BIAS_2 + HIDDEN)
#define BIAS_3 (WEIGHTS_3 + 4 * HIDDEN)

#ifdef MANY
vec3 deferred(float alpha, vec4 feature_0, vec4 feature_1, vec4 feature_2, vec4 feature_3, vec3 d)
#else
vec3 deferred(float alpha, vec3 light, vec4 feature_0, vec4 feature_1, vec3 d)
#endif
{
  float coverage = max(alpha, 1e-4);
  vec4 f = feature_0 / coverage;
  vec4 g = feature_1 / coverage;
  float told[TOLD];
  for (int i = 0; i < 4; i++) {
    told[i] = f[i];
    told[4 + i] = g[i];
  }
#ifdef MANY
  f = feature_2 / coverage;
  g = feature_3 / coverage;
  for (int i = 0; i < 4; i++) {
    told[8 + i] = f[i];
    told[12 + i] = g[i];
  }
  vec3 dd = d * d;
  told[16] = -0.4886025119029199 * d.y;
  told[17] = 0.4886025119029199 * d.z;
  told[18] = -0.4886025119029199 * d.x;
  told[24] = -0.5900435899266435 * d.y * (3.0 * dd.x - dd.y);
  told[25] = 2.890611442640554 * d.x * d.y * d.z;
  told[26] = -0.4570457994644658 * d.y * (5.0 * dd.z - 1.0);
  told[27] = 0.3731763325901154 * d.z * (5.0 * dd.z - 3.0);
  told[28] = -0.4570457994644658 * d.x * (5.0 * dd.z - 1.0);
  told[29] = 1.445305721320277 * d.z * (dd.x - dd.y);
  told[30] = -0.5900435899266435 * d.x * (dd.x - 3.0 * dd.y);
#  define BAND 19
#else
  vec3 mean = light / coverage;
  vec3 short_mean = mean / (1.0 + mean);
  for (int i = 0; i < 3; i++) {
    told[8 + i] = short_mean[i];
    told[11 + i] = d[i];
  }
#  define BAND 14
#endif
  told[BAND] = 1.0925484305920792 * d.x * d.y;
  told[BAND + 1] = -1.0925484305920792 * d.y * d.z;
  told[BAND + 2] = 0.31539156525252005 * (3.0 * d.z * d.z - 1.0);
  told[BAND + 3] = -1.0925484305920792 * d.x * d.z;
  told[BAND + 4] = 0.5462742152960396 * (d.x * d.x - d.y * d.y);
  vec4 first[HIDDEN];
  for (int j = 0; j < HIDDEN; j++) {
    first[j] = uniforms.network[BIAS_1 + j];
    for (int i = 0; i < TOLD; i++) {
      first[j] += told[i] * uniforms.network[HIDDEN * i + j];
    }
    first[j] = max(first[j], 0.0);
  }
  vec4 last = uniforms.network[BIAS_3];
  for (int j = 0; j < HIDDEN; j++) {
    vec4 second = uniforms.network[BIAS_2 + j];
    for (int i = 0; i < 4 * HIDDEN; i++) {
      second += first[i >> 2][i & 3] * uniforms.network[WEIGHTS_2 + HIDDEN * i + j];
    }
    second = max(second, 0.0);
    for (int i = 0; i < 4; i++) {
      last += second[i] * uniforms.network[WEIGHTS_3 + 4 * j + i];
    }
  }
#ifdef MANY
  return alpha * exp(min(last.rgb, 11.0));
#else
  return max(light + alpha * last.rgb, 0.0);
#endif
}
#endif

void main()
{
  vec3 view_origin, view_direction;
  view_ray(uv, view_origin, view_direction);
  vec3 origin = (uniforms.field_from_view * vec4(view_origin, 1.0)).xyz;
  vec3 direction = (uniforms.field_from_view * vec4(view_direction, 0.0)).xyz;
  float along_axis = length(direction);
  direction /= along_axis;

  /* where the ray is inside of the cube, after the near plane and before what the viewport has drawn */
  vec2 part = inside_cube(origin, direction);
  float first = max(part.x, view_depth(-1.0) * along_axis);
  float last = part.y;
  if (uniforms.setting.y > 0.5) {
    vec2 kept = inside_cube((uniforms.crop_from_view * vec4(view_origin, 1.0)).xyz,
                            (uniforms.crop_from_view * vec4(view_direction, 0.0)).xyz);
    first = max(first, kept.x * along_axis);
    last = min(last, kept.y * along_axis);
  }
  if (uniforms.range.w > 0.5) {
    ivec2 drawn = textureSize(scene_depth, 0);
    float depth = depth_without_grid(min(ivec2(uv * vec2(drawn)), drawn - 1));
    FETCHED;
    last = min(last, depth * along_axis);
  }

  /* from here on in voxels */
  float voxels = uniforms.atlas.w;
  origin *= voxels;
  vec3 safe = mix(direction, vec3(1e-12), lessThan(abs(direction), vec3(1e-12)));
  bvec3 forward = greaterThan(safe, vec3(0.0));
  vec3 inverse_direction = 1.0 / safe;
  first *= voxels;
  last *= voxels;
  float spacing = uniforms.setting.z;
  int steps = int(ceil((last - first) / spacing));
  ivec3 most = textureSize(brick_index, 0) - 1;
  vec3 texel = 1.0 / (uniforms.atlas.xyz * float(WIDE));

  vec3 light = vec3(0.0);
  vec4 feature_0 = vec4(0.0);
  vec4 feature_1 = vec4(0.0);
#ifdef MANY
  vec4 feature_2 = vec4(0.0);
  vec4 feature_3 = vec4(0.0);
#endif
  float transmittance = 1.0;
  ivec3 place = ivec3(-1);
  uvec4 masks = uvec4(0u);
  int row = 0;
  vec3 base = vec3(0.0);
  int i = 0;
  while (i < steps && transmittance > 1e-3) {
    float interval = 0.0;
    vec3 within = vec3(0.0);
    /* on to the next sample in a cell in which something can be seen */
    while (i < steps) {
      float start = first + float(i) * spacing;
      interval = min(spacing, last - start); /* the last one ends where the ray does */
      vec3 position = origin + direction * (start + 0.5 * interval);
      ivec3 here = clamp(ivec3(floor(position / float(BRICK))), ivec3(0), most);
      if (here != place) {
        place = here;
        uvec4 packed_brick = uvec4(texelFetch(brick_index, place, 0));
        FETCHED;
        masks = packed_brick & 0xFFFFu;
        uvec4 high = packed_brick >> 16u;
        row = int(high.x | (high.y << 6u) | (high.z << 12u) | (high.w << 18u));
        /* in floats, which are exact here: software divides whole numbers one by one */
        float column = floor((float(row) + 0.5) / uniforms.atlas.x);
        float layer = floor((column + 0.5) / uniforms.atlas.y);
        base = float(WIDE) * vec3(float(row) - column * uniforms.atlas.x, column - layer * uniforms.atlas.y, layer) + 1.0;
      }
      within = position - vec3(place * BRICK);
      ivec3 cell = clamp(ivec3(within * (float(CELLS) / float(BRICK))), ivec3(0), ivec3(CELLS - 1));
      if ((masks[cell.z] >> uint(cell.x + CELLS * cell.y) & 1u) == 1u) {
        break;
      }
      /* nothing up to the wall of the cell, or of the places around that are empty, too */
      bool is_empty = masks == uvec4(0u);
      vec3 lower = is_empty ? vec3((1 - row) * BRICK) : vec3(cell * (BRICK / CELLS));
      vec3 upper = is_empty ? vec3(row * BRICK) : lower + float(BRICK / CELLS);
      vec3 to_wall = (mix(lower, upper, forward) - within) * inverse_direction;
      i += 1 + int(max(min(min(to_wall.x, to_wall.y), to_wall.z), 0.0) / spacing);
    }
    if (i < steps) {
      vec3 where = (base + within) * texel;
      vec4 voxel = textureLod(atlas_light, where, 0.0); /* colour, logarithm of density */
      FETCHED;
      float density = voxel.a > FAINT ? exp(voxel.a) : 0.0;
      float opacity = 1.0 - exp(-density * interval / voxels);
      float weight = transmittance * opacity;
      light += weight * voxel.rgb;
#ifdef NETWORK
      if (weight > 0.0) {
        feature_0 += weight * textureLod(atlas_features_0, where, 0.0);
        FETCHED;
        feature_1 += weight * textureLod(atlas_features_1, where, 0.0);
        FETCHED;
#  ifdef MANY
        feature_2 += weight * textureLod(atlas_features_2, where, 0.0);
        FETCHED;
        feature_3 += weight * textureLod(atlas_features_3, where, 0.0);
        FETCHED;
#  endif
      }
#endif
      transmittance *= 1.0 - opacity;
      i += 1;
    }
  }
  float alpha = 1.0 - transmittance;
#ifdef NETWORK
  if (alpha > 0.0) {
#  ifdef MANY
    light = deferred(alpha, feature_0, feature_1, feature_2, feature_3, direction);
#  else
    light = deferred(alpha, light, feature_0, feature_1, direction);
#  endif
  }
#endif
  result = vec4(light, alpha);
#ifdef COUNT_FETCHES
  result = vec4(float(fetches), 0.0, 0.0, 1.0);
#endif
}
