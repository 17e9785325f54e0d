/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shows a marched picture: scene-linear light through the stages of the view transform, over what is already there.
 *
 * The values are what the screen is to show. A viewport's overlays are linear to Blender, which encodes them with a plain
 * power of 2.2 when it lays them over the picture: undone here, the values arrive unchanged on the screen.
 */

void main()
{
  vec4 light = textureLod(picture, uv, 0.0);
  if (light.a < 1e-5) {
    discard;
  }
  vec3 shown = displayed(light.rgb / light.a, int(uniforms.setting.x));
  if (uniforms.setting.y > 0.5) {
    shown = pow(shown, vec3(2.2));
  }
  result = vec4(shown, 1.0) * light.a;
}
