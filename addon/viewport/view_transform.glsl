/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The stages of a view transform, as core/colour.py has them; their kinds are numbered as there. */

vec3 through_curve(vec3 x, int row, int samples)
{
  vec3 position = x * float(samples - 1);
  ivec3 low = ivec3(clamp(position, vec3(0.0), vec3(float(samples - 2))));
  vec3 below = vec3(texelFetch(curves, ivec2(low.r, row), 0).r,
                    texelFetch(curves, ivec2(low.g, row), 0).g,
                    texelFetch(curves, ivec2(low.b, row), 0).b);
  vec3 above = vec3(texelFetch(curves, ivec2(low.r + 1, row), 0).r,
                    texelFetch(curves, ivec2(low.g + 1, row), 0).g,
                    texelFetch(curves, ivec2(low.b + 1, row), 0).b);
  return below + (above - below) * (position - vec3(low));
}

/* in the tetrahedron that holds x, of the six around the diagonal of its cell */
vec3 through_table(vec3 x, int layer, int nodes)
{
  vec3 position = clamp(x, 0.0, 1.0) * float(nodes - 1);
  ivec3 low = min(ivec3(position), ivec3(nodes - 2));
  vec3 along = position - vec3(low);
  float most = max(max(along.r, along.g), along.b);
  float least = min(min(along.r, along.g), along.b);
  float middle = along.r + along.g + along.b - most - least;
  ivec3 first = along.r == most ? ivec3(1, 0, 0) : (along.g == most ? ivec3(0, 1, 0) : ivec3(0, 0, 1));
  ivec3 last = along.b == least ? ivec3(0, 0, 1) : (along.g == least ? ivec3(0, 1, 0) : ivec3(1, 0, 0));
  low.z += layer;
  return texelFetch(tables, low, 0).rgb * (1.0 - most) + texelFetch(tables, low + first, 0).rgb * (most - middle) +
         texelFetch(tables, low + 1 - last, 0).rgb * (middle - least) + texelFetch(tables, low + 1, 0).rgb * least;
}

vec3 through_stage(vec3 x, int stage)
{
  vec4 head = uniforms.stages[4 * stage];
  vec4 a = uniforms.stages[4 * stage + 1];
  vec4 b = uniforms.stages[4 * stage + 2];
  vec4 c = uniforms.stages[4 * stage + 3];
  switch (int(head.x)) {
    case 0: /* matrix */
      return vec3(dot(a.rgb, x), dot(b.rgb, x), dot(c.rgb, x)) + vec3(a.a, b.a, c.a);
    case 1: /* log2 */
      return log2(max(x, vec3(1.17549435e-38)));
    case 2: /* exp2 */
      return exp2(min(x, vec3(100.0)));
    case 3: /* power */
      return pow(max(x, vec3(0.0)), vec3(head.y));
    case 4: /* encode */
      return mix(pow(max(x, vec3(a.x * a.y)), vec3(1.0 / head.y)) * (1.0 + head.z) - head.z,
                 x / a.y,
                 lessThanEqual(x, vec3(a.x * a.y)));
    case 5: /* decode */
      return mix(pow((max(x, vec3(a.x)) + head.z) / (1.0 + head.z), vec3(head.y)),
                 x * a.y,
                 lessThanEqual(x, vec3(a.x)));
    case 6: /* clamp */
      return clamp(x, head.y, head.z);
    case 7: /* curve */
      return through_curve(x, int(head.y), int(head.z));
  }
  return through_table(x, int(head.y), int(head.z));
}

/* what the screen shows of scene-linear light, 0 … 1 */
vec3 displayed(vec3 light, int stages)
{
  vec3 shown = clamp(light, -1e20, 1e20);
  for (int stage = 0; stage < stages; stage++) {
    shown = through_stage(shown, stage);
  }
  return clamp(shown, 0.0, 1.0);
}
