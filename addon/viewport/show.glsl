/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shows a marched picture: scene-linear light through the view transform's table, over what is already there.
 *
 * The table's values are what the screen is to show. A viewport's overlays are linear to Blender, which encodes them
 * with a plain power of 2.2 when it lays them over the picture: undone here, the values arrive unchanged on the screen.
 */

void main()
{
  vec4 light = textureLod(picture, uv, 0.0);
  if (light.a < 1e-5) {
    discard;
  }
  /* the logarithmic shaper of core/colour.py */
  vec3 scaled = max(light.rgb / light.a, 0.0) * uniforms.shaper.x + 1.0;
  vec3 position = clamp(log2(scaled) * uniforms.shaper.y, 0.0, 1.0);
  float nodes = float(textureSize(table, 0).x);
  vec3 shown = textureLod(table, (position * (nodes - 1.0) + 0.5) / nodes, 0.0).rgb;
  shown = clamp(shown, 0.0, 1.0);
  if (uniforms.shaper.z > 0.5) {
    shown = pow(shown, vec3(2.2));
  }
  result = vec4(shown, 1.0) * light.a;
}
